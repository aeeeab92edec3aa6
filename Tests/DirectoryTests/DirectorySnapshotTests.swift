import Directory
import Testing

@Suite struct DirectorySnapshotTests {
    private func change(_ revision: UInt64, _ events: DirectoryEvent...) -> DirectoryChange {
        DirectoryChange(revision: revision, events: events)
    }

    @Test func looksUp() {
        let nodes = ["B", "A"].map { Node(name: $0, addresses: [], bootID: Make.boot("a"), since: 0) }
        let instances = [("web", "B"), ("web", "A"), ("db", "A")].map { Instance(service: $0.0, node: $0.1) }
        let snapshot = DirectorySnapshot(epoch: "e", revision: 5, nodes: nodes, instances: instances)
        #expect(snapshot.instances(of: "web").map(\.id) == ["A/web", "B/web"])
        #expect(snapshot.instances(of: "none").isEmpty)
        #expect(snapshot.node("A")?.name == "A")
        #expect(snapshot.node("C") == nil)
        #expect(snapshot.nodes.map(\.name) == ["A", "B"])
        #expect(snapshot.serviceNames == ["db", "web"])
        #expect(snapshot.instances.map(\.id) == ["A/db", "A/web", "B/web"])
        #expect(snapshot.nodeCount == 2)
        #expect(snapshot.serviceCount == 2)
    }

    @Test func changesAreAppliedOnceAndInOrder() {
        var snapshot = DirectorySnapshot(epoch: "e", revision: 5)
        snapshot.apply(change(6, .instance(Instance(service: "web", node: "A", weight: 1))))
        snapshot.apply(change(7, .instance(Instance(service: "web", node: "A", weight: 2))))
        // An old one comes again.
        snapshot.apply(change(6, .instance(Instance(service: "web", node: "A", weight: 1))))
        #expect(snapshot.revision == 7)
        #expect(snapshot.instances(of: "web").map(\.weight) == [2])
        snapshot.apply(
            change(8, .instanceRemoved(service: "web", node: "B"), .instanceRemoved(service: "x", node: "A")))
        #expect(snapshot.instances(of: "web").count == 1)
        snapshot.apply(change(9, .instanceRemoved(service: "web", node: "A")))
        #expect(snapshot.serviceCount == 0)
        #expect(snapshot.serviceNames == [])
        snapshot.apply(change(12))
        #expect(snapshot.revision == 12)
    }

    @Test func repeatedContentCountsOnce() {
        let instances = [1, 2].map { Instance(service: "web", node: "A", weight: $0) }
        let snapshot = DirectorySnapshot(epoch: "e", instances: instances)
        #expect(snapshot.instances(of: "web").map(\.weight) == [2])
    }

    @Test func copiesDoNotSeeEachOther() {
        var one = DirectorySnapshot(epoch: "e")
        one.apply(change(1, .instance(Instance(service: "web", node: "A"))))
        let two = one
        one.apply(
            change(2, .instance(Instance(service: "web", node: "B")), .instance(Instance(service: "db", node: "B"))))
        #expect(two.instances(of: "web").count == 1)
        #expect(two.serviceCount == 1)
        #expect(one.instances(of: "web").count == 2)
        #expect(one != two)
    }

    @Test func manyNamesAreAllFound() {
        let instances = (0..<5_000).map { Instance(service: "service-\($0)", node: "n\($0 % 7)") }
        var snapshot = DirectorySnapshot(epoch: "e", instances: instances)
        #expect(snapshot.serviceCount == 5_000)
        for number in stride(from: 0, to: 5_000, by: 3) {
            #expect(snapshot.instances(of: "service-\(number)").first?.node == "n\(number % 7)")
            snapshot.apply(
                change(UInt64(number + 1), .instanceRemoved(service: "service-\(number)", node: "n\(number % 7)")))
        }
        #expect(snapshot.serviceCount == 5_000 - 1_667)
    }
}
