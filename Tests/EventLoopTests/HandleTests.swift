import Foundation
import Testing

@testable import EventLoop

@Suite struct HandleTests {
    @Test func jobsRunInOrderOnTheLoop() throws {
        let loop = try EventLoop()
        let handle = loop.handle
        let order = Shared<[Int]>([])
        for number in 0..<100 {
            handle.post {
                #expect(handle.isOnLoopThread)
                order.withLock { $0.append(number) }
            }
        }
        handle.post { handle.stop() }
        #expect(!handle.isOnLoopThread)
        loop.runTest()
        #expect(!handle.isOnLoopThread)
        #expect(order.value == Array(0..<100))
    }

    @Test func jobsOfFourThreadsKeepTheirOrder() throws {
        let thread = try LoopThread(name: "posts")
        let handle = thread.handle
        let received = Shared<[[Int]]>([[], [], [], []])
        DispatchQueue.concurrentPerform(iterations: 4) { poster in
            for number in 0..<5000 {
                handle.post { received.withLock { $0[poster].append(number) } }
            }
        }
        handle.post { handle.stop() }
        thread.join()
        #expect(received.value == Array(repeating: Array(0..<5000), count: 4))
    }

    @Test func athousandPostsCostOneWrite() throws {
        let loop = try EventLoop()
        let handle = loop.handle
        let count = Shared(0)
        for _ in 0..<1000 { handle.post { count.withLock { $0 += 1 } } }
        handle.post { handle.stop() }
        #expect(handle.wakeUpCount == 1)
        loop.runTest()
        #expect(count.value == 1000)
        // From the loop itself none is needed.
        #expect(handle.wakeUpCount == 1)
    }

    /// What somebody does who has seen that a job was posted comes after it.
    @Test(arguments: [1, 2]) func aJobGoesBeforeWhatBecameReadyBehindIt(descriptors: Int) throws {
        let loop = try EventLoop()
        let pairs = try (0..<descriptors).map { _ in try Pair() }
        let order = Shared<[String]>([])
        let probe = Probe()
        for pair in pairs { _ = try loop.register(pair.near, [.readable, .edgeTriggered], probe) }
        loop.handle.post { order.withLock { $0.append("job") } }
        for pair in pairs { pair.feed() }
        // The last of what the second look in a busy tick finds.
        let late = try Pair()
        let lateProbe = Probe()
        lateProbe.onReady = { _, loop in
            order.withLock { $0.append("late") }
            loop.handle.stop()
        }
        _ = try loop.register(late.near, [.readable, .edgeTriggered], lateProbe)
        let handle = loop.handle
        var isFirst = true
        probe.onReady = { _, _ in
            order.withLock { $0.append("ready") }
            guard isFirst else { return }
            isFirst = false
            handle.post { order.withLock { $0.append("second job") } }
            late.feed()
        }
        loop.runTest()
        #expect(
            order.value == ["job"] + Array(repeating: "ready", count: descriptors) + ["second job", "late"])
    }

    @Test func jobThatPostsAnotherStarvesNobody() throws {
        let loop = try EventLoop()
        let pair = try Pair()
        let handle = loop.handle
        let probe = Probe()
        let isDone = Shared(false)
        probe.onReady = { _, _ in isDone.withLock { $0 = true } }
        _ = try loop.register(pair.near, .readable, probe)
        pair.feed()
        @Sendable func again() {
            if isDone.value { handle.stop() } else { handle.post(again) }
        }
        handle.post(again)
        loop.runTest()
        #expect(isDone.value)
    }

    @Test func jobsPostedBeforeTheStopHaveRun() throws {
        for _ in 0..<200 {
            let thread = try LoopThread(name: "stop")
            let count = Shared(0)
            for _ in 0..<5 { thread.handle.post { count.withLock { $0 += 1 } } }
            thread.stopAndJoin()
            #expect(count.value == 5)
        }
    }

    @Test func stopBeforeRunReturnsAtOnceAndTheLoopCanRunAgain() throws {
        let loop = try EventLoop()
        let handle = loop.handle
        handle.stop()
        loop.runTest()
        let hasRun = Shared(false)
        handle.post {
            hasRun.withLock { $0 = true }
            handle.stop()
        }
        loop.runTest()
        #expect(hasRun.value)
    }

    @Test func loopJobsGetTheLoop() throws {
        let thread = try LoopThread(name: "loop")
        let fired = Shared(0)
        let handle = thread.handle
        handle.withLoop { loop in
            let probe = Probe()
            probe.onTimer = { tag, loop in
                fired.withLock { $0 = tag }
                loop.handle.stop()
            }
            loop.schedule(after: 1, probe, tag: 7)
        }
        thread.join()
        #expect(fired.value == 7)
    }

    @Test func handleMayOutliveItsLoop() throws {
        let handle = try EventLoop().handle
        handle.post { Issue.record("there is no loop to run this") }
        handle.stop()
    }

    @Test func threadBearsItsName() throws {
        let name = Shared("")
        let thread = try LoopThread(name: "conduit-wörker-1") { _ in
            name.withLock { $0 = LoopThread.currentThreadName }
        }
        thread.stopAndJoin()
        thread.join()
        // 15 bytes.
        #expect(name.value == "conduit-wörker")
    }

    /// Where the kernel knows such turns (Linux 6.12 on); before, it says nothing.
    @Test func threadAsksForShortTurns() throws {
        let turns = Shared<[UInt64]>([])
        let thread = try LoopThread(name: "short") { _ in
            let before = LoopThread.turn
            LoopThread.preferShortTurns()
            let after = LoopThread.turn
            turns.withLock { $0 = [before, after] }
        }
        thread.stopAndJoin()
        #expect(turns.value.count == 2)
        if turns.value[0] > 0 { #expect(turns.value[1] == LoopThread.shortTurn) }
    }

    @Test func droppedThreadEnds() throws {
        let finished = DispatchSemaphore(value: 0)
        var thread: LoopThread? = try LoopThread(name: "dropped") { loop in
            let probe = Probe()
            probe.onDeinit = { finished.signal() }
            loop.schedule(after: 3600 * Clock.second, probe)
        }
        thread?.handle.post {}
        thread = nil
        #expect(finished.wait(timeout: .now() + 20) == .success)
    }
}

@Suite struct TickTests {
    @Test func tickEndComesAfterEverythingElseOfTheTick() throws {
        let loop = try EventLoop()
        let pair = try Pair()
        let probe = Probe()
        defer { probe.forget() }
        let log = Shared<[String]>([])
        func note(_ text: String) { log.withLock { $0.append(text) } }
        probe.onReady = { _, loop in
            _ = readAll(pair.near)
            note("descriptor")
            loop.atTickEnd(probe)
        }
        probe.onTimer = { _, _ in note("timer") }
        probe.onTickEnd = { loop in
            note("end")
            loop.handle.stop()
        }
        _ = try loop.register(pair.near, .readable, probe)
        pair.feed()
        loop.handle.post { log.withLock { $0.append("job") } }
        loop.schedule(at: 0, probe)
        loop.runTest()
        #expect(log.value == ["job", "descriptor", "timer", "end"])
    }

    @Test func handlersThatAskAtTheEndAreCalledInTheSameTick() throws {
        let loop = try EventLoop()
        var log: [(Int, UInt64)] = []
        let first = Probe()
        let second = Probe()
        let third = Probe()
        first.onTickEnd = { loop in
            log.append((1, loop.tickCount))
            loop.atTickEnd(second)
        }
        second.onTickEnd = { loop in
            log.append((2, loop.tickCount))
            loop.atTickEnd(third)
        }
        third.onTickEnd = { loop in
            log.append((3, loop.tickCount))
            loop.handle.stop()
        }
        loop.atTickEnd(first)
        loop.schedule(after: 0, Probe())
        loop.runTest()
        #expect(log.map(\.0) == [1, 2, 3])
        #expect(Set(log.map(\.1)).count == 1)
    }

    @Test func eachRequestIsOneCall() throws {
        let loop = try EventLoop()
        let probe = Probe()
        var calls = 0
        probe.onTickEnd = { _ in calls += 1 }
        probe.onTimer = { tag, loop in
            if tag == 0 { loop.handle.stop() }
        }
        loop.atTickEnd(probe)
        loop.atTickEnd(probe)
        loop.schedule(after: 3 * Clock.millisecond, probe, tag: 0)
        loop.schedule(after: 1 * Clock.millisecond, probe, tag: 1)
        loop.runTest()
        #expect(calls == 2)
    }

    @Test func timeStandsStillWithinATick() throws {
        let loop = try EventLoop()
        let probe = Probe()
        probe.onTimer = { _, loop in
            let before = loop.now
            let clock = Clock.monotonicNanoseconds()
            while Clock.monotonicNanoseconds() < clock + Clock.microsecond {}
            #expect(loop.now == before)
            #expect(before <= clock)
            loop.handle.stop()
        }
        loop.schedule(after: 0, probe)
        let before = loop.now
        loop.runTest()
        #expect(loop.now > before)
    }
}
