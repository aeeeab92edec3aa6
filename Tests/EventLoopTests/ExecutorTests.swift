import EventLoop
import Foundation
import Testing

/// An actor whose code runs on a loop's thread.
private actor Counter {
    nonisolated let executor: LoopExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    var count = 0

    init(_ executor: LoopExecutor) { self.executor = executor }

    func add() -> Bool {
        count += 1
        return executor.handle.isOnLoopThread
    }

    /// Enters without waiting; the caller must be on the loop's thread.
    @discardableResult
    nonisolated func enter() -> Int {
        assumeIsolated { counter in
            counter.count += 1
            return counter.count
        }
    }

    func addAfterYield() async -> Bool {
        await Task.yield()
        count += 1
        return executor.handle.isOnLoopThread
    }
}

@Suite struct ExecutorTests {
    @Test func actorRunsOnTheLoop() async throws {
        let thread = try LoopThread(name: "actor")
        let counter = Counter(LoopExecutor(thread.handle))
        for _ in 0..<100 {
            #expect(await counter.add())
            #expect(await counter.addAfterYield())
        }
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 { group.addTask { await counter.addAfterYield() } }
            for await isOnLoop in group { #expect(isOnLoop) }
        }
        #expect(await counter.count == 300)
        thread.handle.stop()
        thread.join()
    }

    /// Code on the loop enters the actor without waiting.
    @Test func loopEntersTheActor() async throws {
        let thread = try LoopThread(name: "actor")
        let executor = LoopExecutor(thread.handle)
        let counter = Counter(executor)
        #expect(executor.isIsolatingCurrentContext() == false)
        let count = await withCheckedContinuation { continuation in
            thread.handle.post {
                executor.checkIsolated()
                continuation.resume(returning: executor.isIsolatingCurrentContext() == true ? counter.enter() : -1)
            }
        }
        #expect(count == 1)
        thread.handle.stop()
        thread.join()
    }

    @Test func otherThreadsMayNotEnterTheActor() async throws {
        await #expect(processExitsWith: .failure) {
            let thread = try LoopThread(name: "actor")
            let counter = Counter(LoopExecutor(thread.handle))
            counter.enter()
        }
        await #expect(processExitsWith: .failure) {
            let thread = try LoopThread(name: "actor")
            LoopExecutor(thread.handle).checkIsolated()
        }
    }
}
