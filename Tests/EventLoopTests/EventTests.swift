import EventLoop
import Foundation
import Testing

@Suite struct EventTests {
    @Test func reportsReadableAndWritable() throws {
        let loop = try EventLoop()
        let pair = try Pair()
        let probe = Probe()
        var seen: [Readiness] = []
        var registration: Registration?
        probe.onReady = { readiness, loop in
            seen.append(readiness)
            switch seen.count {
            case 1:
                // Only writable so far; now only what can be read counts.
                registration.map { loop.modify($0, .readable) }
                pair.feed("hello")
            default:
                #expect(readAll(pair.near).0 == "hello")
                loop.handle.stop()
            }
        }
        registration = try loop.register(pair.near, [.readable, .writable], probe)
        #expect(loop.registrationCount == 1)
        loop.runTest()
        #expect(seen == [.writable, .readable])
    }

    @Test func levelTriggeredRepeatsEdgeTriggeredDoesNot() throws {
        let loop = try EventLoop()
        let level = try Pair()
        let edge = try Pair()
        var calls = (level: 0, edge: 0)
        let levelProbe = Probe()
        let edgeProbe = Probe()
        levelProbe.onReady = { _, loop in
            calls.level += 1
            if calls.level == 5 { loop.handle.stop() }
        }
        edgeProbe.onReady = { _, _ in calls.edge += 1 }
        _ = try loop.register(level.near, .readable, levelProbe)
        _ = try loop.register(edge.near, [.readable, .edgeTriggered], edgeProbe)
        level.feed()
        edge.feed()
        loop.runTest()
        #expect(calls == (5, 1))
    }

    @Test func edgeTriggeredHearsOfNewBytesAndIsRearmed() throws {
        let loop = try EventLoop()
        let pair = try Pair()
        let probe = Probe()
        var registration: Registration?
        var calls = 0
        probe.onReady = { readiness, loop in
            calls += 1
            #expect(readiness.contains(.readable))
            switch calls {
            case 1: pair.feed("b")
            // Nothing was read and nothing is new; re-arming tells again what lasts.
            case 2: registration.map { loop.modify($0, [.readable, .edgeTriggered]) }
            default:
                #expect(readAll(pair.near).0 == "ab")
                loop.handle.stop()
            }
        }
        registration = try loop.register(pair.near, [.readable, .edgeTriggered], probe)
        pair.feed("a")
        loop.runTest()
        #expect(calls == 3)
    }

    @Test func halfCloseIsSeen() throws {
        let loop = try EventLoop()
        let pair = try Pair()
        let probe = Probe()
        var seen: Readiness = []
        probe.onReady = { readiness, loop in
            seen = readiness
            loop.handle.stop()
        }
        let registration = try loop.register(pair.near, .readHangup, probe)
        // Bytes are of no interest to somebody who only waits for the half-close.
        pair.feed("last")
        try Syscall.shutdownWrite(pair.far)
        loop.runTest()
        #expect(seen == .readHangup)
        loop.modify(registration, .readable)
        loop.runTest()
        #expect(seen == [.readable, .readHangup])
        #expect(readAll(pair.near) == ("last", .done(0)))
        // The other direction still works.
        #expect(Array("back".utf8).withUnsafeBytes { Syscall.send(pair.near, $0) } == .done(4))
        #expect(readAll(pair.far).0 == "back")
    }

    @Test func hangupIsSeenWithoutInterest() throws {
        let loop = try EventLoop()
        let pair = try Pair()
        let probe = Probe()
        var seen: Readiness = []
        probe.onReady = { readiness, loop in
            seen = readiness
            loop.handle.stop()
        }
        _ = try loop.register(pair.near, [], probe)
        pair.closeFar()
        loop.runTest()
        #expect(seen.contains(.hangup))
    }

    @Test func handlerLivesAsLongAsItsRegistration() throws {
        let loop = try EventLoop()
        let pair = try Pair()
        var isAlive = true
        var probe: Probe? = Probe()
        probe?.onDeinit = { isAlive = false }
        let registration = try loop.register(pair.near, .readable, #require(probe))
        probe = nil
        #expect(isAlive)
        loop.deregister(registration)
        #expect(!isAlive)
        #expect(loop.registrationCount == 0)
    }

    /// Letting a handler go may run code that uses the loop.
    @Test func handlerMayUseTheLoopInItsDeinit() throws {
        let loop = try EventLoop()
        let pair = try Pair()
        let other = try Pair()
        let otherRegistration = try loop.register(other.near, .readable, Probe())
        var timer: TimerID?
        func make() -> Probe {
            let probe = Probe()
            probe.onDeinit = {
                loop.deregister(otherRegistration)
                timer.map(loop.cancel)
                timer = loop.schedule(after: Clock.second, Probe())
                loop.atTickEnd(Probe())
            }
            return probe
        }
        let registration = try loop.register(pair.near, .readable, make())
        loop.deregister(registration)
        #expect(loop.registrationCount == 0)
        loop.cancel(loop.schedule(after: 1, make()))
        #expect(loop.timerCount == 1)
        loop.schedule(after: 0, make())
        loop.atTickEnd(make())
        let handle = loop.handle
        handle.post { handle.stop() }
        loop.runTest()
        #expect(loop.timerCount == 1)
    }

    @Test func descriptorCanBeRegisteredOnce() throws {
        let loop = try EventLoop()
        let pair = try Pair()
        let registration = try loop.register(pair.near, .readable, Probe())
        #expect(throws: SystemError(call: "epoll_ctl", subject: "fd \(pair.near)", errno: EEXIST)) {
            try loop.register(pair.near, .writable, Probe())
        }
        #expect(throws: SystemError.self) { try loop.register(-1, .readable, Probe()) }
        #expect(loop.registrationCount == 1)
        loop.deregister(registration)
        loop.deregister(registration)
        loop.modify(registration, .writable)
        #expect(loop.registrationCount == 0)
        let again = try loop.register(pair.near, .readable, Probe())
        #expect(again != registration)
        // An ended registration has no power over its successor.
        loop.deregister(registration)
        loop.deregisterForClose(registration)
        #expect(loop.registrationCount == 1)
    }

    /// Closing takes the descriptor from the kernel's list, too: its number is free for the next one.
    @Test func closingDeregisters() throws {
        let loop = try EventLoop()
        let pair = try Pair()
        let dropped = Shared(false)
        var probe: Probe? = Probe()
        probe?.onDeinit = { dropped.withLock { $0 = true } }
        let registration = try loop.register(pair.near, .readable, probe!)
        probe = nil
        loop.deregisterForClose(registration)
        #expect(dropped.value)
        #expect(loop.registrationCount == 0)
        let fresh = try Pair()
        #expect(dup2(fresh.near, pair.near) == pair.near)
        let successor = Probe()
        var received = ""
        successor.onReady = { _, loop in
            received += readAll(pair.near).0
            loop.handle.stop()
        }
        _ = try loop.register(pair.near, .readable, successor)
        fresh.feed("mine")
        loop.runTest()
        #expect(received == "mine")
    }
}

/// A descriptor that is closed and whose number is given to another, in the middle of a batch of events.
@Suite struct StaleEventTests {
    /// Two descriptors are ready in one batch; whoever is called first does `act` to the other's.
    private func whileInBatch(
        _ act: @escaping (_ victim: Pair, _ registration: Registration, EventLoop) throws -> Void
    ) throws -> Int {
        let loop = try EventLoop()
        let pairs = [try Pair(), try Pair()]
        let probes = [Probe(), Probe()]
        var registrations: [Registration] = []
        var calls = 0
        for index in 0..<2 {
            probes[index].onReady = { _, loop in
                calls += 1
                _ = readAll(pairs[index].near)
                if calls == 1 {
                    #expect(throws: Never.self) { try act(pairs[1 - index], registrations[1 - index], loop) }
                }
                // Two more ticks, in which a wrong event would show.
                let handle = loop.handle
                handle.post { handle.post { handle.stop() } }
            }
            registrations.append(try loop.register(pairs[index].near, .readable, probes[index]))
        }
        for pair in pairs { pair.feed() }
        loop.runTest()
        return calls
    }

    @Test func deregisteredHandlerHearsNothing() throws {
        let calls = try whileInBatch { _, registration, loop in loop.deregister(registration) }
        #expect(calls == 1)
    }

    @Test(arguments: [false, true]) func reusedDescriptorGetsNoOldEvent(closesAtOnce: Bool) throws {
        let fresh = try Pair()
        let successor = Probe()
        var successorCalls = 0
        successor.onReady = { _, _ in successorCalls += 1 }
        let calls = try whileInBatch { victim, registration, loop in
            if closesAtOnce { loop.deregisterForClose(registration) } else { loop.deregister(registration) }
            // Closes the victim and gives its number to the fresh socket, in one step, since other tests run meanwhile.
            #expect(dup2(fresh.near, victim.near) == victim.near)
            // The slot of the victim is used again, too.
            let next = try loop.register(victim.near, .readable, successor)
            #expect(next != registration)
        }
        #expect(calls == 1)
        #expect(successorCalls == 0)
    }

    /// The owner forgot to deregister: the successor of the number must neither get old events nor lose its own.
    @Test func forgottenRegistrationDoesNotHarmItsSuccessor() throws {
        let fresh = try Pair()
        let successor = Probe()
        var received = ""
        let calls = try whileInBatch { victim, registration, loop in
            #expect(dup2(fresh.near, victim.near) == victim.near)
            let number = victim.near
            successor.onReady = { _, _ in received += readAll(number).0 }
            _ = try loop.register(number, .readable, successor)
            loop.deregister(registration)
            #expect(loop.registrationCount == 2)
            fresh.feed("mine")
        }
        #expect(calls == 1)
        #expect(received == "mine")
    }

    /// Registrations that come and go at random, compared with what was written to whom.
    @Test func everyEventFindsItsOwner() throws {
        let loop = try EventLoop()
        var pairs: [Int: Pair] = [:]
        var registrations: [Int: Registration] = [:]
        var expected = 0
        var received = 0
        var next = 0
        let ticker = Probe()
        defer { ticker.forget() }
        var rounds = 0
        func add() {
            let identity = next
            next += 1
            guard let pair = try? Pair() else { return }
            let probe = Probe()
            probe.onReady = { _, loop in
                #expect(pairs[identity] === pair, "an event for somebody who left")
                let (text, _) = readAll(pair.near)
                #expect(text == "\(identity)")
                received += 1
                // Somebody leaves in the middle of the batch.
                if let other = pairs.keys.randomElement(), other != identity, Bool.random() { remove(other) }
                add()
                pairs[identity]?.feed("\(identity)")
                expected += 1
            }
            pairs[identity] = pair
            registrations[identity] = try? loop.register(pair.near, .readable, probe)
            pair.feed("\(identity)")
            expected += 1
        }
        func remove(_ identity: Int) {
            guard let pair = pairs.removeValue(forKey: identity) else { return }
            if !readAll(pair.near).0.isEmpty { expected -= 1 }
            registrations.removeValue(forKey: identity).map(loop.deregister)
            pair.closeNear()
            pair.closeFar()
        }
        ticker.onTickEnd = { loop in
            rounds += 1
            while pairs.count > 50 { pairs.keys.randomElement().map(remove) }
            if rounds == 200 {
                for identity in Array(pairs.keys) { remove(identity) }
                loop.handle.stop()
            } else {
                loop.schedule(at: 0, ticker)
            }
        }
        ticker.onTimer = { _, loop in loop.atTickEnd(ticker) }
        for _ in 0..<20 { add() }
        loop.atTickEnd(ticker)
        loop.runTest()
        #expect(received == expected)
        #expect(received > 1000)
        #expect(loop.registrationCount == 0)
    }
}
