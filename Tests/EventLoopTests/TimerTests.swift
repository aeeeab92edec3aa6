import EventLoop
import Testing

@Suite struct TimerTests {
    @Test func firesInOrderOfDeadlines() throws {
        let loop = try EventLoop()
        let probe = Probe()
        var fired: [Int] = []
        var start: UInt64 = 0
        probe.onTimer = { [unowned probe] tag, loop in
            guard tag > 0 else {
                // Time stands still within a tick: none is due before all are scheduled, however busy the machine is.
                start = loop.now
                let others = loop.timerCount
                for tag in [3, 1, 4, 2, 5] {
                    loop.schedule(at: start + UInt64(tag) * Clock.millisecond, probe, tag: tag)
                }
                #expect(loop.timerCount == others + 5)
                return
            }
            fired.append(tag)
            #expect(loop.now >= start + UInt64(tag) * Clock.millisecond)
            if fired.count == 5 { loop.handle.stop() }
        }
        loop.schedule(at: 0, probe, tag: 0)
        loop.runTest()
        #expect(fired == [1, 2, 3, 4, 5])
        #expect(loop.timerCount == 0)
    }

    @Test func equalDeadlinesFireInOrderOfScheduling() throws {
        let loop = try EventLoop()
        let probe = Probe()
        var fired: [Int] = []
        probe.onTimer = { tag, loop in
            fired.append(tag)
            if fired.count == 200 { loop.handle.stop() }
        }
        let deadline = loop.now + Clock.millisecond
        for tag in 0..<200 { loop.schedule(at: deadline, probe, tag: tag) }
        loop.runTest()
        #expect(fired == Array(0..<200))
    }

    @Test func cancelledTimerDoesNotFire() throws {
        let loop = try EventLoop()
        let probe = Probe()
        var fired: [Int] = []
        var timers: [TimerID] = []
        probe.onTimer = { tag, loop in
            fired.append(tag)
            // The one that is due in the same tick too.
            if tag == 0 { loop.cancel(timers[1]) }
            // Over already: its slot may belong to another by now.
            if tag == 2 { loop.cancel(timers[0]) }
            if tag == 4 { loop.handle.stop() }
        }
        for tag in 0..<5 { timers.append(loop.schedule(after: UInt64(tag), probe, tag: tag)) }
        loop.cancel(timers[3])
        loop.cancel(timers[3])
        loop.runTest()
        #expect(fired == [0, 2, 4])
        #expect(loop.timerCount == 0)
    }

    @Test func identifiersAreNotReused() throws {
        let loop = try EventLoop()
        let probe = Probe()
        let old = loop.schedule(after: Clock.second, probe)
        loop.cancel(old)
        let new = loop.schedule(after: Clock.second, probe)
        #expect(old != new)
        loop.cancel(old)
        #expect(loop.timerCount == 1)
    }

    @Test func targetLivesUntilTheTimerIsOver() throws {
        let loop = try EventLoop()
        var alive = 0
        func target() -> Probe {
            alive += 1
            let probe = Probe()
            probe.onDeinit = { alive -= 1 }
            return probe
        }
        let cancelled = loop.schedule(after: Clock.second, target())
        loop.schedule(after: 0, target())
        #expect(alive == 2)
        loop.cancel(cancelled)
        #expect(alive == 1)
        let last = Probe()
        last.onTimer = { _, loop in loop.handle.stop() }
        loop.schedule(after: 1, last)
        loop.runTest()
        #expect(alive == 0)
    }

    /// A timer that renews itself with a deadline in the past must not keep others, or descriptors, from their turn.
    @Test func renewingTimerStarvesNobody() throws {
        let loop = try EventLoop()
        let pair = try Pair()
        let renewing = Probe()
        defer { renewing.forget() }
        let other = Probe()
        var seen: Set<String> = []
        renewing.onTimer = { _, loop in
            loop.schedule(at: 0, renewing)
            if seen.count == 2 { loop.handle.stop() }
        }
        other.onTimer = { _, _ in seen.insert("timer") }
        other.onReady = { _, _ in
            seen.insert("descriptor")
            _ = readAll(pair.near)
        }
        loop.schedule(at: 0, renewing)
        loop.schedule(after: 2 * Clock.millisecond, other)
        _ = try loop.register(pair.near, .readable, other)
        pair.feed()
        loop.runTest()
        #expect(seen.count == 2)
    }

    @Test func farDeadlinesDoNotOverflow() throws {
        let loop = try EventLoop()
        let probe = Probe()
        probe.onTimer = { tag, loop in
            #expect(tag == 1)
            loop.handle.stop()
        }
        loop.schedule(after: .max, probe)
        loop.schedule(at: .max, probe)
        loop.schedule(after: 1, probe, tag: 1)
        loop.runTest()
        #expect(loop.timerCount == 2)
    }

    @Test func cancelledEntriesAreSwept() throws {
        let loop = try EventLoop()
        let probe = Probe()
        // An idle timeout that is renewed for each of many messages.
        var timer = loop.schedule(after: Clock.second, probe)
        for _ in 0..<10_000 {
            loop.cancel(timer)
            timer = loop.schedule(after: Clock.second, probe)
        }
        #expect(loop.timerCount == 1)
        #expect(loop.timerEntryCount < 200)
    }

    @Test func aHundredThousandTimers() throws {
        let loop = try EventLoop()
        let probe = Probe()
        // Far enough that none is due yet; few distinct deadlines, so that many are equal.
        let base = loop.now + 3600 * Clock.second
        let timers = (0..<100_000).map { tag in
            loop.schedule(at: base + UInt64.random(in: 0...1000), probe, tag: tag)
        }
        #expect(loop.timerCount == 100_000)
        for (tag, timer) in timers.enumerated() where tag % 20 != 0 { loop.cancel(timer) }
        #expect(loop.timerCount == 5000)
        #expect(loop.timerEntryCount <= 2 * 5000 + 100)
        // The sweeping has lost none of those that remain, and none fires.
        for (tag, timer) in timers.enumerated() where tag % 20 == 0 { loop.cancel(timer) }
        #expect(loop.timerCount == 0)
        var fired: Set<Int> = []
        probe.onTimer = { tag, loop in
            fired.insert(tag)
            if fired.count == 100_000 { loop.handle.stop() }
        }
        for tag in 0..<100_000 { loop.schedule(after: UInt64(tag) * 10, probe, tag: tag) }
        loop.runTest()
        #expect(fired.count == 100_000)
        #expect(loop.timerEntryCount <= 100)
    }

    /// Random scheduling and cancelling against a sorted list.
    @Test(arguments: 0..<10)
    func agreesWithAModel(seed: Int) throws {
        // All is scheduled before the first deadline, so that the clock plays no part; on a busy machine, try again with
        // more time.
        var margin = 30 * Clock.millisecond
        while try !agreesWithAModel(margin: margin) { margin *= 4 }
    }

    private func agreesWithAModel(margin: UInt64) throws -> Bool {
        let loop = try EventLoop()
        let probe = Probe()
        let base = loop.now + margin
        var model: [(deadline: UInt64, order: Int)] = []
        var timers: [Int: TimerID] = [:]
        for order in 0..<1000 {
            let deadline = base + UInt64.random(in: 0...50)
            timers[order] = loop.schedule(at: deadline, probe, tag: order)
            model.append((deadline, order))
            if Int.random(in: 0..<10) < 6, let victim = timers.keys.randomElement(),
                let timer = timers.removeValue(forKey: victim)
            {
                loop.cancel(timer)
                model.removeAll { $0.order == victim }
            }
        }
        #expect(loop.timerCount == model.count)
        guard loop.now < base else { return false }
        var fired: [Int] = []
        probe.onTimer = { tag, loop in
            fired.append(tag)
            if fired.count == model.count { loop.handle.stop() }
        }
        loop.runTest()
        #expect(fired == model.sorted { ($0.deadline, $0.order) < ($1.deadline, $1.order) }.map(\.order))
        return true
    }
}
