import Directory
import Testing

@Suite struct StoreWriterTests {
    private let full = StoreError(code: .diskFull, path: "p", message: "m", hint: "h")

    private func commit(_ writer: inout StoreWriter, at milliseconds: Int64 = 0) -> StoreBatch? {
        guard case .commit(let batch) = writer.takeBatch(at: Make.time(milliseconds)) else { return nil }
        return batch
    }

    @Test func whatComesMeanwhileSharesTheNextSync() throws {
        var writer = StoreWriter(state: Make.state())
        _ = writer.enqueue(Make.register(Make.registration("A", "x")))
        let firstMaybe = commit(&writer)
        let first = try #require(firstMaybe)
        #expect(first.rows.map(\.node) == ["A"])
        var tickets: [StoreWriter.Ticket] = []
        for node in ["B", "C", "B"] {
            let ticket = writer.enqueue(Make.register(Make.registration(node, "\(tickets.count)x")))
            tickets += [try #require(ticket)]
        }
        // One transaction at a time.
        #expect(commit(&writer) == nil)
        #expect(writer.finish(.success(()), at: Make.time(1)).completions.count == 1)
        let secondMaybe = commit(&writer)
        let second = try #require(secondMaybe)
        #expect(second.rows.map(\.node) == ["B", "C"])
        #expect(second.rows[0].content?.registration.services.map(\.service) == ["2x"])
        #expect(second.revision == 4)
        let (completions, changes) = writer.finish(.success(()), at: Make.time(2))
        #expect(completions.map(\.ticket) == tickets)
        #expect(completions.map(\.revision) == [2, 3, 4])
        #expect(changes.map(\.revision) == [2, 3, 4])
    }

    @Test func whatNeedsNoStoreIsAnsweredAtOnce() throws {
        var writer = StoreWriter(state: Make.state())
        let registration = Make.registration("A", "x")
        let ticketMaybe = writer.enqueue(Make.renew(registration))
        let ticket = try #require(ticketMaybe)
        guard case .answered(let completions) = writer.takeBatch(at: Make.time(0)) else {
            Issue.record("expected an answer")
            return
        }
        #expect(completions.map(\.ticket) == [ticket])
        guard case .success(.resync) = completions[0].result else {
            Issue.record("\(completions[0].result)")
            return
        }
        guard case .idle = writer.takeBatch(at: Make.time(0)) else {
            Issue.record("expected nothing")
            return
        }
    }

    @Test func failureTakesEverythingBack() throws {
        var writer = StoreWriter(state: Make.state())
        let registration = Make.registration("A", "x")
        _ = writer.enqueue(Make.register(registration))
        _ = commit(&writer)
        _ = writer.finish(.success(()), at: Make.time(0))
        let before = writer.state.snapshot
        _ = writer.enqueue(.deregister(node: "A", bootID: nil))
        _ = writer.enqueue(Make.register(Make.registration("B", "x")))
        #expect(commit(&writer) != nil)
        let (completions, changes) = writer.finish(.failure(full), at: Make.time(1))
        #expect(changes.isEmpty)
        #expect(completions.count == 2)
        for completion in completions {
            guard case .failure(let error) = completion.result else {
                Issue.record("\(completion.result)")
                continue
            }
            #expect(error.code == .diskFull)
        }
        #expect(writer.state.snapshot == before)
    }

    @Test func fullDiskEndsNoLease() throws {
        var writer = StoreWriter(state: Make.state())
        let registration = Make.registration("A", "x")
        _ = writer.enqueue(Make.register(registration))
        _ = commit(&writer)
        _ = writer.finish(.success(()), at: Make.time(0))
        // For minutes nothing can be stored; the node goes on renewing, beside others that want to write.
        var now: Int64 = 0
        while now < 300_000 {
            now += 10_000
            _ = writer.enqueue(Make.renew(registration))
            _ = writer.enqueue(Make.register(Make.registration("B", "x")))
            #expect(commit(&writer, at: now) != nil)
            let completions = writer.finish(.failure(full), at: Make.time(now)).completions
            guard case .success(.done) = completions[0].result else {
                Issue.record("\(completions[0].result)")
                return
            }
        }
        #expect(writer.state.lease(of: "A") == .held(until: 330_000))
        #expect(writer.state.snapshot.node("A")?.state == .up)
        #expect(writer.state.snapshot.node("B") == nil)
    }

    @Test func leasesThatRanOutWaitForTheDisk() throws {
        var writer = StoreWriter(state: Make.state())
        _ = writer.enqueue(Make.register(Make.registration("A", "x")))
        _ = commit(&writer)
        _ = writer.finish(.success(()), at: Make.time(0))
        #expect(writer.nextDeadline() == 30_000)
        #expect(commit(&writer, at: 30_000)?.rows.first?.content?.state == .lost)
        #expect(writer.nextDeadline() == nil)
        _ = writer.finish(.failure(full), at: Make.time(30_000))
        // Not at once again, or a full disk would make a busy loop.
        #expect(writer.nextDeadline() == 31_000)
        #expect(commit(&writer, at: 30_999) == nil)
        #expect(commit(&writer, at: 31_000) != nil)
        _ = writer.finish(.success(()), at: Make.time(31_000))
        #expect(writer.nextDeadline() == 46_000)
    }

    @Test func renewalThatWaitsComesBeforeItsLeasesEnd() throws {
        var writer = StoreWriter(state: Make.state())
        let registration = Make.registration("A", "x")
        _ = writer.enqueue(Make.register(registration))
        _ = commit(&writer)
        _ = writer.finish(.success(()), at: Make.time(0))
        _ = writer.enqueue(Make.renew(registration))
        #expect(commit(&writer, at: 40_000) == nil)
        #expect(writer.state.lease(of: "A") == .held(until: 70_000))
    }

    @Test func batchesAndQueueAreBounded() throws {
        var writer = StoreWriter(state: Make.state())
        for number in 0..<StoreWriter.maximumPending {
            #expect(writer.enqueue(.deregister(node: "n\(number)", bootID: nil)) != nil)
        }
        #expect(writer.enqueue(.deregister(node: "n", bootID: nil)) == nil)
        guard case .answered(let completions) = writer.takeBatch(at: Make.time(0)) else {
            Issue.record("expected answers")
            return
        }
        #expect(completions.count == StoreWriter.maximumBatch)
        #expect(writer.hasPending)
        #expect(writer.enqueue(.deregister(node: "n", bootID: nil)) != nil)
    }
}
