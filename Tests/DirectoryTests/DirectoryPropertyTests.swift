import Directory
import SeededRandom
import Testing

@Suite struct DirectoryPropertyTests {
    /// What a store would have.
    private struct Rows {
        var revision: UInt64 = 0
        var nodes: [String: StoredNode] = [:]

        var restored: RestoredDirectory {
            RestoredDirectory(
                epoch: "e", revision: revision,
                nodes: nodes.values.sorted { $0.registration.node < $1.registration.node })
        }
    }

    @Test(arguments: 0..<10) func readersWritersAndStoreAgree(seed: UInt64) {
        var random = SeededRandom(seed)
        var now: Int64 = 0
        var writer = StoreWriter(state: Make.state())
        var rows = Rows()
        var reader = writer.state.snapshot
        var hub = WatchHub(epoch: "e", revision: 0, limits: .init(changes: 64))
        var known: [String: Registration] = [:]
        var tickets: Set<StoreWriter.Ticket> = []
        for _ in 0..<150 {
            now += Int64.random(in: 0...6_000, using: &random)
            for _ in 0..<Int.random(in: 0...5, using: &random) {
                let command = Self.command(&random, &known)
                if Bool.random(using: &random) {
                    if let ticket = writer.enqueue(command) { tickets.insert(ticket) }
                } else {
                    writer.note(command)
                }
            }
            // Also now and then the directory restarts.
            if Int.random(in: 0..<40, using: &random) == 0 {
                let state = DirectoryState(restored: rows.restored, settings: Make.settings, now: Make.time(now))
                #expect(state.snapshot == reader)
                writer = StoreWriter(state: state)
                tickets = []
            }
            let before = writer.state.snapshot
            switch writer.takeBatch(at: Make.time(now)) {
            case .idle: break
            case .answered(let completions):
                for completion in completions { if let ticket = completion.ticket { tickets.remove(ticket) } }
                #expect(writer.state.snapshot == before)
            case .commit(let batch):
                #expect(Set(batch.rows.map(\.node)).count == batch.rows.count)
                let fails = Int.random(in: 0..<5, using: &random) == 0
                let error = StoreError(code: .diskFull, path: "p", message: "m", hint: "h")
                if !fails {
                    for (node, content) in batch.rows { rows.nodes[node] = content }
                    rows.revision = batch.revision
                }
                let (completions, changes) = writer.finish(fails ? .failure(error) : .success(()), at: Make.time(now))
                for completion in completions { if let ticket = completion.ticket { tickets.remove(ticket) } }
                var revision = reader.revision
                for change in changes {
                    #expect(change.revision == revision + 1)
                    #expect(!change.events.isEmpty)
                    revision = change.revision
                    reader.apply(change)
                }
                hub.publish(changes)
                if fails {
                    #expect(changes.isEmpty)
                    #expect(writer.state.snapshot == before)
                }
            }
            #expect(writer.state.snapshot == reader)
            #expect(rows.revision == reader.revision)
            #expect(hub.revision == reader.revision)
            let restored = DirectoryState(restored: rows.restored, settings: Make.settings, now: Make.time(now))
            #expect(restored.snapshot == reader)
            if !writer.hasPending { #expect(tickets.isEmpty, "every command is answered") }
        }
        #expect(reader.revision > 30)
    }

    private static func command(
        _ random: inout SeededRandom, _ known: inout [String: Registration]
    ) -> DirectoryState.Command {
        let node = ["A", "B", "C", "D"].randomElement(using: &random) ?? "A"
        let last = known[node]
        let boot = last?.bootID ?? Make.boot("a")
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<4:
            let services = ["one", "two", "three", "four"].filter { _ in Bool.random(using: &random) }
            let registration = Registration(
                node: node,
                bootID: Bool.random(using: &random) ? boot : Make.boot("abcdef".randomElement(using: &random) ?? "a"),
                addresses: ["h:\(Int.random(in: 1...3, using: &random))"],
                services: services.map {
                    Instance(service: $0, node: node, health: Health.allCases.randomElement(using: &random) ?? .passing)
                })
            known[node] = registration
            return Make.register(registration)
        case 4..<7:
            return .renew(node: node, bootID: boot, hash: last?.hash ?? "")
        case 7:
            return .linkLost(node: node, bootID: boot)
        case 8:
            return Bool.random(using: &random)
                ? .deregister(node: node, bootID: boot) : .revoke(node: node, services: ["one"])
        default:
            return .setHealth(node: node, bootID: boot, health: ["two": .critical], hash: last?.hash ?? "")
        }
    }
}
