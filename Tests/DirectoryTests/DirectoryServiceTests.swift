import Directory
import JSON
import Policy
import Testing

@Suite struct DirectoryServiceTests {
    static let policyText = """
        {
          identities: [
            { match: { node: "**" }, permissions: "mesh-node" },
            { match: { cn: "Legacy" }, permissions: "mesh-node" },
          ],
          rules: [
            { allow: "register", from: "node:ACL", to: ["acl", "db"] },
            { allow: "register", from: "node:Web", to: "web.**" },
            { allow: "register", from: "node:Legacy", to: "old" },
            { allow: ["connect"], from: "uid:1000", to: "mesh.directory" },
            { allow: ["connect"], from: "uid:0", to: "mesh.directory" },
            { allow: "discover", from: "uid:1000", to: ["db", "none"] },
            { allow: "administer", from: "uid:0", to: "ACL" },
            { allow: "connect", from: "uid:7", to: "db" },
          ],
        }
        """

    private var service: DirectoryService
    private let policy: PolicyDocument
    private var now: Int64 = 0
    private let acl = Make.registration("ACL", "acl", "db")

    init() throws {
        policy = try PolicyDocument.parse(Self.policyText, file: "policy.json")
        service = DirectoryService(
            restored: RestoredDirectory(epoch: "e"), policy: policy, trustDomain: "m", settings: Make.settings,
            now: Make.time(0))
    }

    private func principal(_ text: String) -> Principal {
        policy.principal(for: policy.subject(text, trustDomain: "m") ?? .anonymous)
    }

    /// Performs an operation and stores whatever it takes.
    private mutating func perform(
        _ operation: DirectoryOperation, by who: String, result: Result<Void, StoreError> = .success(())
    ) -> DirectoryService.Reply? {
        switch service.perform(operation, by: principal(who)) {
        case .reply(let reply): return reply
        case .watching: return nil
        case .pending(let ticket):
            return settle(result).first { $0.ticket == ticket }?.reply
        }
    }

    private mutating func settle(
        _ result: Result<Void, StoreError> = .success(())
    ) -> [(ticket: StoreWriter.Ticket, reply: DirectoryService.Reply)] {
        var replies: [(ticket: StoreWriter.Ticket, reply: DirectoryService.Reply)] = []
        while true {
            switch service.step(at: Make.time(now)) {
            case .idle: return replies
            case .reply(let more): replies += more
            case .commit: replies += service.finish(result, at: Make.time(now))
            }
        }
    }

    private func text(_ reply: DirectoryService.Reply?) -> String {
        switch reply {
        case .success(let json)?: json.text()
        case .problem(let problem)?: "\(problem.status) \(problem.reason)"
        case nil: "nothing"
        }
    }

    @Test mutating func registersAndAnswers() {
        #expect(
            text(perform(.register(acl), by: "ACL")) == "{\"revision\":1,\"lease\":30,\"hash\":\"\(acl.hash)\"}")
        #expect(
            text(perform(.services, by: "Web")) == """
                {"revision":1,"services":[\
                {"name":"acl","instances":1,"healthy":1,"protocols":["tcp"],"tags":[]},\
                {"name":"db","instances":1,"healthy":1,"protocols":["tcp"],"tags":[]}]}
                """)
        #expect(
            text(perform(.service("db"), by: "Web")) == """
                {"revision":1,"name":"db","instances":[{"service":"db","node":"ACL","instance":"ACL/db",\
                "protocol":"tcp","tags":[],"weight":100,"metadata":{},"health":"passing"}]}
                """)
        #expect(
            text(perform(.node("ACL"), by: "Web")) == """
                {"revision":1,"node":{"node":"ACL","addresses":["127.0.1.1:7400"],"bootId":"\(Make.boot("a"))",\
                "metadata":{},"state":"up","since":1700000000000}}
                """)
        #expect(text(perform(.nodes, by: "Web")).hasPrefix("{\"revision\":1,\"nodes\":[{\"node\":\"ACL\""))
        #expect(text(perform(.snapshot, by: "Web")).hasPrefix("{\"epoch\":\"e\",\"revision\":1,\"nodes\":[{"))
        #expect(text(perform(Self.renew(acl), by: "ACL")) == "{\"revision\":1,\"lease\":30}")
    }

    static func renew(_ registration: Registration) -> DirectoryOperation {
        .renew(node: registration.node, bootID: registration.bootID, hash: registration.hash)
    }

    @Test mutating func healthyMeansUsableOnANodeThatIsUp() throws {
        _ = perform(.register(acl), by: "ACL")
        let changed = DirectoryOperation.setHealth(
            node: "ACL", bootID: acl.bootID, health: ["db": .critical], hash: "h")
        _ = perform(changed, by: "ACL")
        #expect(text(perform(.services, by: "Web")).contains("\"name\":\"db\",\"instances\":1,\"healthy\":0"))
        #expect(text(perform(.services, by: "Web")).contains("\"name\":\"acl\",\"instances\":1,\"healthy\":1"))
        service.linkLost(node: "ACL", bootID: acl.bootID)
        _ = settle()
        #expect(text(perform(.services, by: "Web")).contains("\"name\":\"acl\",\"instances\":1,\"healthy\":0"))
    }

    @Test mutating func nodesSpeakForThemselvesOnly() {
        #expect(text(perform(.register(acl), by: "Web")) == "403 not_owner")
        #expect(text(perform(.register(acl), by: "uid:0")) == "403 not_owner")
        _ = perform(.register(acl), by: "ACL")
        #expect(text(perform(Self.renew(acl), by: "Web")) == "403 not_owner")
        #expect(
            text(perform(.setHealth(node: "ACL", bootID: acl.bootID, health: [:], hash: ""), by: "Web"))
                == "403 not_owner")
        #expect(text(perform(.deregister(node: "ACL", bootID: acl.bootID), by: "Web")) == "403 not_owner")
        #expect(text(perform(.deregister(node: "ACL", bootID: acl.bootID), by: "uid:1000")) == "403 not_owner")
        #expect(service.snapshot.nodeCount == 1)
        // Administrators may remove a node, that one only.
        #expect(text(perform(.deregister(node: "Web", bootID: nil), by: "uid:0")) == "403 not_owner")
        #expect(text(perform(.deregister(node: "ACL", bootID: nil), by: "uid:0")) == "{\"revision\":2,\"lease\":30}")
        #expect(service.snapshot.nodeCount == 0)
    }

    @Test mutating func whoMayNotReachTheDirectoryGetsNothing() {
        for operation in [
            DirectoryOperation.services, .service("db"), .nodes, .node("ACL"), .snapshot, .watch(from: 0, epoch: nil),
            .register(acl), Self.renew(acl),
        ] {
            #expect(text(perform(operation, by: "uid:7")) == "403 no_rule")
            #expect(text(perform(operation, by: "uid:8")) == "403 unmapped_identity")
            #expect(text(perform(operation, by: "cn:Stranger")) == "403 unmapped_identity")
            #expect(text(perform(operation, by: "anonymous")) == "403 not_authenticated")
        }
    }

    @Test mutating func namesThatPolicyDoesNotGrantAreLeftOut() {
        let more = Make.registration("ACL", "acl", "web.shop", "mesh.directory", "db")
        #expect(
            text(perform(.register(more), by: "ACL")) == """
                {"revision":1,"lease":30,"hash":"\(more.hash)","refused":[\
                {"service":"mesh.directory","reason":"reserved_name"},{"service":"web.shop","reason":"no_rule"}]}
                """)
        #expect(service.snapshot.serviceNames == ["acl", "db"])
        // The refused names are no reason to ask for the whole again.
        #expect(text(perform(Self.renew(more), by: "ACL")) == "{\"revision\":1,\"lease\":30}")
    }

    @Test func authorityIsAskedForEveryService() {
        let decisions = RegistrationAuthority.authorize(
            policy, principal("ACL"), Make.registration("ACL", "acl", "web", "mesh.agent"))
        #expect(decisions.map(\.service) == ["acl", "mesh.agent", "web"])
        #expect(decisions.map(\.decision.reason) == [.allowed, .reservedName, .noRule])
    }

    @Test mutating func onlyWhatOneMayDiscoverIsShown() {
        _ = perform(.register(acl), by: "ACL")
        let services = text(perform(.services, by: "uid:1000"))
        #expect(services.contains("\"db\"") && !services.contains("\"acl\""))
        #expect(text(perform(.service("db"), by: "uid:1000")).hasPrefix("{\"revision\":1,\"name\":\"db\""))
        // Whether it exists or not: the same answer.
        #expect(text(perform(.service("acl"), by: "uid:1000")) == "403 no_rule")
        #expect(text(perform(.service("nothing"), by: "uid:1000")) == "403 no_rule")
        #expect(text(perform(.service("none"), by: "uid:1000")) == "404 unknown_service")
        #expect(text(perform(.service("a b"), by: "uid:1000")) == "400 invalid_name")
        let snapshot = text(perform(.snapshot, by: "uid:1000"))
        #expect(snapshot.contains("ACL/db") && !snapshot.contains("ACL/acl"))
        #expect(text(perform(.node("X"), by: "uid:1000")) == "404 unknown_node")
    }

    @Test mutating func conflictsHaveTheirReasons() {
        #expect(text(perform(Self.renew(acl), by: "ACL")) == "409 resync")
        #expect(text(perform(.deregister(node: "ACL", bootID: acl.bootID), by: "ACL")) == "404 unknown_node")
        _ = perform(.register(acl), by: "ACL")
        #expect(text(perform(.deregister(node: "ACL", bootID: Make.boot("b")), by: "ACL")) == "409 stale_boot")
        let unknown = DirectoryOperation.setHealth(node: "ACL", bootID: acl.bootID, health: ["x": .passing], hash: "")
        #expect(text(perform(unknown, by: "ACL")) == "404 unknown_service")
    }

    @Test mutating func whatCannotBeStoredIsNotSeen() {
        let full = StoreError(code: .diskFull, path: "p", message: "m", hint: "h")
        #expect(text(perform(.register(acl), by: "ACL", result: .failure(full))) == "507 store_disk_full")
        #expect(service.snapshot.revision == 0)
        #expect(service.snapshot.nodeCount == 0)
        let broken = StoreError(code: .inputOutput, path: "p", message: "m", hint: "h")
        #expect(text(perform(.register(acl), by: "ACL", result: .failure(broken))) == "503 store_io_error")
        #expect(text(perform(.register(acl), by: "ACL")).hasPrefix("{\"revision\":1"))
    }

    @Test mutating func watchersHearWhatTheyMaySee() throws {
        guard case .watching(let node) = service.perform(.watch(from: 0, epoch: "e"), by: principal("Web")),
            case .watching(let user) = service.perform(.watch(from: 0, epoch: nil), by: principal("uid:1000"))
        else {
            Issue.record("not watching")
            return
        }
        #expect(service.nextLines(node) == .idle)
        _ = perform(.register(acl), by: "ACL")
        #expect(Set(service.watchersWithNews) == [node, user])
        guard case .lines(let all) = service.nextLines(node), case .lines(let some) = service.nextLines(user) else {
            Issue.record("no lines")
            return
        }
        let allText = String(decoding: all, as: UTF8.self)
        let someText = String(decoding: some, as: UTF8.self)
        #expect(allText.contains("ACL/acl") && allText.contains("ACL/db"))
        #expect(!someText.contains("ACL/acl") && someText.contains("ACL/db"))
        #expect(String(decoding: service.heartbeat, as: UTF8.self) == "{\"revision\":1}\n")
        #expect(text(perform(.watch(from: 2, epoch: nil), by: "Web")) == "410 compacted")
        #expect(text(perform(.watch(from: 1, epoch: "other"), by: "Web")) == "410 compacted")
        service.unsubscribe(node)
        #expect(service.nextLines(node) == .idle)
    }

    @Test mutating func newPolicyTakesAwayWhatItNoLongerGrants() throws {
        _ = perform(.register(acl), by: "ACL")
        guard case .watching(let watcher) = service.perform(.watch(from: 1, epoch: nil), by: principal("Web")) else {
            Issue.record("not watching")
            return
        }
        let text = Self.policyText.replacing("to: [\"acl\", \"db\"]", with: "to: [\"acl\"]")
        service.setPolicy(try PolicyDocument.parse(text, file: "policy.json"))
        #expect(service.nextLines(watcher) == .startOver(WatchLine.startOver(.policyChanged).bytes))
        _ = settle()
        #expect(service.snapshot.serviceNames == ["acl"])
        // Its agent is told with the next renewal, registers anew and hears what was refused.
        #expect(self.text(perform(Self.renew(acl), by: "ACL")) == "409 resync")
        #expect(self.text(perform(.register(acl), by: "ACL")).contains("\"refused\":[{\"service\":\"db\""))
        // Granted again, it comes back the same way.
        service.setPolicy(policy)
        _ = settle()
        #expect(self.text(perform(Self.renew(acl), by: "ACL")) == "409 resync")
        _ = perform(.register(acl), by: "ACL")
        #expect(service.snapshot.serviceNames == ["acl", "db"])
    }

    @Test mutating func policyThatChangesWhileItIsStoredCountsToo() throws {
        guard case .pending = service.perform(.register(acl), by: principal("ACL")),
            case .commit = service.step(at: Make.time(0))
        else {
            Issue.record("not pending")
            return
        }
        guard case .pending = service.perform(.register(Make.registration("Web", "web.x")), by: principal("Web")) else {
            Issue.record("not pending")
            return
        }
        let text = Self.policyText.replacing("to: [\"acl\", \"db\"]", with: "to: [\"acl\"]")
            .replacing("to: \"web.**\"", with: "to: \"else\"")
        service.setPolicy(try PolicyDocument.parse(text, file: "policy.json"))
        _ = service.finish(.success(()), at: Make.time(1))
        _ = settle()
        #expect(service.snapshot.serviceNames == ["acl"])
        #expect(service.snapshot.nodeCount == 2)
    }

    @Test func restoredRegistrationsAreHeldAgainstThePolicy() throws {
        let legacy = Make.registration("Legacy", "old")
        let stored = [acl, Make.registration("Web", "db", "web.a"), legacy].map {
            StoredNode(registration: $0, submittedHash: $0.hash, state: .up, since: 0)
        }
        var service = DirectoryService(
            restored: RestoredDirectory(epoch: "e", revision: 9, nodes: stored), policy: policy, trustDomain: "m",
            settings: Make.settings, now: Make.time(0))
        #expect(service.snapshot.revision == 9)
        while case .commit = service.step(at: Make.time(0)) { _ = service.finish(.success(()), at: Make.time(0)) }
        #expect(service.snapshot.instances.map(\.id) == ["ACL/acl", "ACL/db", "Legacy/old", "Web/web.a"])
    }

    @Test mutating func leasesRunOutThroughTheService() {
        _ = perform(.register(acl), by: "ACL")
        #expect(service.nextDeadline() == 30_000)
        now = 30_000
        _ = settle()
        #expect(service.snapshot.node("ACL")?.state == .lost)
        now = 45_000
        _ = settle()
        #expect(service.snapshot.nodeCount == 0)
        #expect(service.nextDeadline() == nil)
    }

    @Test func leaseMayBeAFractionOfASecond() throws {
        var service = DirectoryService(
            restored: RestoredDirectory(epoch: "e"), policy: policy, settings: LeaseSettings(lease: 1_500),
            now: Make.time(0))
        _ = service.perform(.register(acl), by: principal("ACL"))
        _ = service.step(at: Make.time(0))
        let replies = service.finish(.success(()), at: Make.time(0))
        let answer = text(replies.first?.reply)
        #expect(answer.contains("\"lease\":1.5,"))
    }

    @Test func agentsAnswerReadsFromTheirCopies() {
        let snapshot = DirectorySnapshot(epoch: "e", revision: 3, instances: [Instance(service: "db", node: "ACL")])
        let reply = DirectoryQuery.answer(.service("db"), from: snapshot, by: principal("uid:1000"), under: policy)
        #expect(text(reply).hasPrefix("{\"revision\":3,\"name\":\"db\""))
        let write = DirectoryQuery.answer(.register(acl), from: snapshot, by: principal("ACL"), under: policy)
        #expect(text(write) == "400 invalid_request")
    }
}
