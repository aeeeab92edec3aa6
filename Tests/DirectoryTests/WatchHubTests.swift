import Directory
import JSON
import Testing

@Suite struct WatchHubTests {
    private func change(_ revision: UInt64, _ service: String = "web") -> DirectoryChange {
        DirectoryChange(revision: revision, events: [.instance(Instance(service: service, node: "A"))])
    }

    private func lines(_ delivery: WatchHub.Delivery) throws -> [WatchLine] {
        guard case .lines(let bytes) = delivery else { return [] }
        #expect(bytes.last == UInt8(ascii: "\n"))
        return try bytes.split(separator: UInt8(ascii: "\n")).map {
            try WatchLine(json: try JSONReader.parse(Array($0)))
        }
    }

    private func next(_ hub: inout WatchHub, _ id: WatchHub.WatcherID) throws -> [WatchLine] {
        try lines(hub.next(id) { _ in true })
    }

    @Test func watchersAreToldFromWhereTheyAre() throws {
        var hub = WatchHub(epoch: "e", revision: 10)
        let earlyMaybe = hub.subscribe(from: 10)
        let early = try #require(earlyMaybe)
        #expect(hub.watchersWithNews == [])
        #expect(hub.next(early) { _ in true } == .idle)
        hub.publish([change(11), change(12)])
        let lateMaybe = hub.subscribe(from: 11, epoch: "e")
        let late = try #require(lateMaybe)
        let currentMaybe = hub.subscribe(from: 12)
        let current = try #require(currentMaybe)
        #expect(Set(hub.watchersWithNews) == [early, late])
        #expect(try next(&hub, early) == [.change(change(11)), .change(change(12))])
        #expect(try next(&hub, late) == [.change(change(12))])
        #expect(hub.next(current) { _ in true } == .idle)
        #expect(hub.watchersWithNews == [])
        hub.unsubscribe(early)
        hub.publish([change(13)])
        #expect(Set(hub.watchersWithNews) == [late, current])
        #expect(hub.next(early) { _ in true } == .idle)
        #expect(hub.watcherCount == 2)
    }

    @Test func whatIsNotRememberedMeansStartingOver() {
        var hub = WatchHub(epoch: "e", revision: 10, limits: .init(changes: 3))
        #expect(hub.subscribe(from: 9) == nil)
        #expect(hub.subscribe(from: 11) == nil)
        #expect(hub.subscribe(from: 10, epoch: "other") == nil)
        for revision in UInt64(11)...20 { hub.publish([change(revision)]) }
        #expect(hub.oldestRevision == 17)
        #expect(hub.subscribe(from: 16) == nil)
        #expect(hub.subscribe(from: 17) != nil)
        #expect(hub.subscribe(from: 20) != nil)
        #expect(hub.subscribe(from: 21) == nil)
        #expect(hub.subscribe(from: .max) == nil)
    }

    @Test func whoFallsBehindIsToldToStartOver() throws {
        var hub = WatchHub(epoch: "e", revision: 0, limits: .init(changes: 3))
        let slowMaybe = hub.subscribe(from: 0)
        let slow = try #require(slowMaybe)
        let quickMaybe = hub.subscribe(from: 0)
        let quick = try #require(quickMaybe)
        for revision in UInt64(1)...3 {
            hub.publish([change(revision)])
            #expect(try next(&hub, quick) == [.change(change(revision))])
        }
        hub.publish([change(4)])
        #expect(hub.next(slow) { _ in true } == .startOver(Array("{\"startOver\":\"compacted\"}\n".utf8)))
        #expect(hub.watcherCount == 1)
        #expect(hub.next(slow) { _ in true } == .idle)
        #expect(try next(&hub, quick) == [.change(change(4))])
    }

    @Test func historyIsBoundedInBytes() {
        let line = WatchLine.change(change(100)).bytes.count
        var hub = WatchHub(epoch: "e", revision: 99, limits: .init(changes: 1_000, bytes: 5 * line))
        for revision in 100...150 { hub.publish([change(UInt64(revision))]) }
        #expect(hub.oldestRevision == 145)
        // One change beyond all bounds: nobody can be told, everybody starts over.
        let large = DirectoryChange(
            revision: 151, events: (0..<50).map { .instance(Instance(service: "s\($0)", node: "A")) })
        hub.publish([large])
        #expect(hub.oldestRevision == 151)
    }

    @Test func slowStreamsGetWholeLinesInParts() throws {
        var hub = WatchHub(epoch: "e", revision: 0)
        let idMaybe = hub.subscribe(from: 0)
        let id = try #require(idMaybe)
        for revision in UInt64(1)...9 { hub.publish([change(revision)]) }
        let length = WatchLine.change(change(1)).bytes.count
        var told: [WatchLine] = []
        for maximum in [1, length, 2 * length, 3 * length + 1] {
            told += try lines(hub.next(id, maximumBytes: maximum) { _ in true })
        }
        #expect(told == (1...7).map { .change(change($0)) })
        #expect(try next(&hub, id) == [.change(change(8)), .change(change(9))])
    }

    @Test func onlyVisibleServicesAreTold() throws {
        var hub = WatchHub(epoch: "e", revision: 0)
        let idMaybe = hub.subscribe(from: 0)
        let id = try #require(idMaybe)
        let node = DirectoryEvent.nodeRemoved("A")
        let shown = DirectoryEvent.instance(Instance(service: "shown", node: "A"))
        let hidden = DirectoryEvent.instanceRemoved(service: "hidden", node: "A")
        hub.publish([
            DirectoryChange(revision: 1, events: [hidden]),
            DirectoryChange(revision: 2, events: [hidden, shown, node]),
            DirectoryChange(revision: 3, events: [hidden]),
        ])
        let delivery = hub.next(id) { $0 != "hidden" }
        #expect(try lines(delivery) == [.change(DirectoryChange(revision: 2, events: [shown, node]))])
        #expect(hub.watchersWithNews == [])
        hub.publish([DirectoryChange(revision: 4, events: [hidden])])
        #expect(hub.next(id) { $0 != "hidden" } == .idle)
        #expect(hub.watchersWithNews == [])
    }

    @Test func policyChangeMakesEverybodyStartOver() throws {
        var hub = WatchHub(epoch: "e", revision: 0)
        let idMaybe = hub.subscribe(from: 0)
        let id = try #require(idMaybe)
        hub.startOver(.policyChanged)
        #expect(hub.watchersWithNews == [id])
        #expect(hub.next(id) { _ in true } == .startOver(WatchLine.startOver(.policyChanged).bytes))
    }

    @Test func watchersAreLimited() throws {
        var hub = WatchHub(epoch: "e", revision: 0, limits: .init(watchers: 2))
        let firstMaybe = hub.subscribe(from: 0)
        let first = try #require(firstMaybe)
        #expect(hub.subscribe(from: 0) != nil)
        #expect(hub.isFull)
        #expect(hub.subscribe(from: 0) == nil)
        hub.unsubscribe(first)
        #expect(hub.subscribe(from: 0) != nil)
    }

    @Test func linesAreReadBack() throws {
        for line in [
            WatchLine.change(change(7)), .heartbeat(8), .startOver(.compacted), .startOver(.policyChanged),
            .change(DirectoryChange(revision: 9, events: [])),
        ] {
            #expect(try WatchLine(json: line.json) == line)
        }
        for text in ["{}", "{\"revision\":-1}", "{\"revision\":1,\"x\":1}", "{\"startOver\":\"x\"}", "[]"] {
            #expect(throws: JSONAccessError.self) { try WatchLine(json: try JSONReader.parse(text)) }
        }
    }
}
