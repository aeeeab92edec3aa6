import Testing

@testable import EventLoop

/// When a loop looks for its next event before it sleeps.
@Suite struct PollingTests {
    private static let budget: UInt64 = 50_000

    private func waits(short: Int) -> ShortWaits {
        var waits = ShortWaits(budget: Self.budget)
        for _ in 0..<short { waits.slept(Self.budget) }
        return waits
    }

    @Test func manyShortWaitsInARowMakeTheNextOneExpected() {
        #expect(!waits(short: 0).isNext)
        #expect(!waits(short: ShortWaits.minimumStreak - 1).isNext)
        #expect(waits(short: ShortWaits.minimumStreak).isNext)
    }

    @Test func oneLongWaitEndsTheRow() {
        var waits = waits(short: ShortWaits.minimumStreak)
        waits.slept(2 * Self.budget + 1)
        #expect(waits.isNext)
        waits.slept(2 * Self.budget + 2)
        #expect(!waits.isNext)
        for _ in 1..<ShortWaits.minimumStreak { waits.slept(0) }
        #expect(!waits.isNext)
        waits.slept(0)
        #expect(waits.isNext)
    }

    /// Somebody waits for each event then, and a host on which answers take a little longer must not sleep each time.
    @Test func whereEventsComeOneAtATimeTheLookIsTwiceAsLong() {
        var waits = ShortWaits(budget: Self.budget)
        #expect(waits.budget == Self.budget)
        for _ in 1..<ShortWaits.singlesForMore { waits.fetched(1) }
        #expect(waits.budget == Self.budget)
        waits.fetched(0)
        #expect(waits.budget == 2 * Self.budget)
        // As long as it looks is what counts as short: else no look would ever follow sleeps on such a host.
        for _ in 0..<ShortWaits.minimumStreak { waits.slept(4 * Self.budget) }
        #expect(waits.isNext)
        waits.fetched(2)
        #expect(waits.budget == Self.budget)
        waits.slept(4 * Self.budget)
        #expect(!waits.isNext)
    }

    @Test func lookingInVainMakesCarefulAndSuccessForgives() {
        var waits = waits(short: ShortWaits.minimumStreak)
        waits.lookedInVain()
        #expect(!waits.isNext)
        for _ in 0..<ShortWaits.minimumStreak { waits.slept(0) }
        #expect(!waits.isNext, "after a miss the row has to be longer")
        for _ in 0..<ShortWaits.minimumStreak { waits.slept(0) }
        #expect(waits.isNext)
        for _ in 0..<ShortWaits.minimumStreak { waits.looked() }
        waits.slept(.max)
        for _ in 0..<ShortWaits.minimumStreak { waits.slept(0) }
        #expect(waits.isNext)
        #expect(waits.found == UInt64(ShortWaits.minimumStreak) && waits.missed == 1)
    }

    @Test func aMissAmongManySuccessesChangesNothing() {
        var waits = waits(short: ShortWaits.minimumStreak)
        for _ in 0..<ShortWaits.successesForMiss { waits.looked() }
        waits.lookedInVain()
        #expect(waits.isNext, "the successes have paid for it")
        // What ended the row of looks was long: nobody comes any more.
        waits.slept(.max)
        #expect(!waits.isNext)
        for _ in 0..<ShortWaits.minimumStreak { waits.slept(0) }
        #expect(waits.isNext)
        for _ in 1..<ShortWaits.successesForMiss { waits.looked() }
        waits.lookedInVain()
        #expect(!waits.isNext, "one success too few")
    }

    @Test func whoIsAlwaysWrongHardlyEverLooks() {
        var waits = waits(short: 0)
        var looks = 0
        for _ in 0..<100 * ShortWaits.maximumStreak {
            if waits.isNext {
                looks += 1
                waits.lookedInVain()
            }
            waits.slept(0)
        }
        #expect(looks >= 100 && looks <= 110)
        // Never further away than the bound, however often it was wrong.
        for _ in 0..<ShortWaits.maximumStreak { waits.slept(0) }
        #expect(waits.isNext)
    }

    /// Every wait counts as short here, and a loop that looks goes on until there is something: no time is measured.
    @Test func pollsAnswersThatComeAtOnceAndHearsOfEverythingElse() throws {
        let loop = try EventLoop()
        loop.pollBeforeSleeping(.max)
        let pair = try Pair()
        let far = pair.far
        let echo = try LoopThread(name: "echo") { loop in
            let probe = Probe()
            probe.onReady = { _, _ in
                let bytes = Array(readAll(far).0.utf8)
                if !bytes.isEmpty { _ = bytes.withUnsafeBytes { Syscall.send(far, $0) } }
            }
            _ = try? loop.register(far, [.readable, .edgeTriggered], probe)
        }
        let probe = Probe()
        var answers = 0
        var timers = 0
        let rounds = 4 * ShortWaits.minimumStreak
        let near = pair.near
        func ask() { _ = withUnsafeBytes(of: UInt8(1)) { Syscall.send(near, $0) } }
        probe.onReady = { _, loop in
            guard !readAll(near).0.isEmpty else { return }
            answers += 1
            if answers < rounds { return ask() }
            // From here on the loop looks, and nothing comes but a timer, then a job, then the end.
            loop.schedule(after: 1, probe)
        }
        probe.onTimer = { _, loop in
            timers += 1
            echo.handle.post { [handle = loop.handle] in handle.post { handle.stop() } }
        }
        _ = try loop.register(near, [.readable, .edgeTriggered], probe)
        ask()
        loop.runTest()
        echo.stopAndJoin()
        #expect(answers == rounds && timers == 1)
        #expect(loop.polls.found >= UInt64(rounds - ShortWaits.minimumStreak - 1))
        #expect(loop.polls.missed == 0)
        probe.forget()
    }

    @Test func aLoopThatWasNotToldToNeverPolls() throws {
        let loop = try EventLoop()
        let pair = try Pair()
        let probe = Probe()
        var calls = 0
        probe.onReady = { _, loop in
            calls += 1
            if calls == 3 * ShortWaits.minimumStreak { loop.handle.stop() }
        }
        _ = try loop.register(pair.near, .readable, probe)
        pair.feed()
        loop.runTest()
        #expect(loop.polls == (0, 0))
        probe.forget()
    }

    /// What becomes ready while several events are handled belongs to the same tick.
    @Test func aBusyTickTakesWhatCameMeanwhile() throws {
        let loop = try EventLoop()
        let pairs = try (0..<3).map { _ in try Pair() }
        var log: [String] = []
        let probes = (0..<3).map { index in
            let probe = Probe()
            probe.onReady = { _, loop in
                log.append("ready \(index)")
                if index < 2 {
                    if log.count == 1 { loop.atTickEnd(probe) }
                    if log.count == 2 { pairs[2].feed() }
                }
            }
            probe.onTickEnd = { loop in
                log.append("end")
                loop.handle.stop()
            }
            return probe
        }
        for index in 0..<3 { _ = try loop.register(pairs[index].near, [.readable, .edgeTriggered], probes[index]) }
        pairs[0].feed()
        pairs[1].feed()
        loop.runTest()
        #expect(log == ["ready 0", "ready 1", "ready 2", "end"])
        for probe in probes { probe.forget() }
    }

    /// A single event, the usual case of a quiet loop, costs no second call.
    @Test func aQuietTickDoesNotLookAgain() throws {
        let loop = try EventLoop()
        let (first, second) = (try Pair(), try Pair())
        let probe = Probe()
        let late = Probe()
        var log: [String] = []
        probe.onReady = { _, loop in
            log.append("ready")
            second.feed()
            loop.atTickEnd(probe)
        }
        probe.onTickEnd = { _ in log.append("end") }
        late.onReady = { _, loop in
            log.append("late")
            loop.handle.stop()
        }
        _ = try loop.register(first.near, [.readable, .edgeTriggered], probe)
        _ = try loop.register(second.near, [.readable, .edgeTriggered], late)
        first.feed()
        loop.runTest()
        #expect(log == ["ready", "end", "late"])
        probe.forget()
        late.forget()
    }
}
