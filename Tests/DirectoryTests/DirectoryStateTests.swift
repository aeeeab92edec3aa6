import Directory
import Testing

@Suite struct DirectoryStateTests {
    private var state = Make.state()
    private let acl = Make.registration("ACL", "acl", "db")

    private mutating func apply(_ command: DirectoryState.Command, at milliseconds: Int64 = 0) -> [String] {
        state.apply(command, at: Make.time(milliseconds)).short
    }

    private mutating func outcome(
        _ command: DirectoryState.Command, at milliseconds: Int64 = 0
    ) -> DirectoryState.Outcome {
        state.apply(command, at: Make.time(milliseconds)).outcome
    }

    private mutating func expire(at milliseconds: Int64) -> [String] {
        state.expired(at: Make.time(milliseconds)).flatMap { apply(.expire(node: $0), at: milliseconds) }
    }

    @Test mutating func registeringTellsTheNodeThenItsInstances() {
        #expect(apply(Make.register(acl)) == ["+ACL", "+ACL/acl=passing", "+ACL/db=passing"])
        #expect(state.revision == 1)
        #expect(state.snapshot.instances(of: "db").map(\.id) == ["ACL/db"])
        #expect(state.snapshot.node("ACL")?.since == Make.time(0).unix)
    }

    @Test mutating func registeringTwiceChangesNothingButTheLease() {
        _ = apply(Make.register(acl))
        let again = state.apply(Make.register(acl), at: Make.time(10_000))
        #expect(again.outcome == .done)
        #expect(again.change == nil)
        #expect(again.row == nil)
        #expect(state.revision == 1)
        #expect(state.lease(of: "ACL") == .held(until: 40_000))
    }

    @Test mutating func onlyDifferencesAreTold() {
        _ = apply(Make.register(acl))
        #expect(apply(Make.register(Make.registration("ACL", "acl", "web"))) == ["-ACL/db", "+ACL/web=passing"])
        #expect(apply(Make.register(Make.registration("ACL", "a", "acl", "web"))) == ["+ACL/a=passing"])
        #expect(apply(Make.register(Make.registration("ACL", "a", "acl", "web", port: 7401))) == ["+ACL"])
        #expect(
            apply(Make.register(Make.registration("ACL", "acl", port: 7401, health: .critical)))
                == ["-ACL/a", "+ACL/acl=critical", "-ACL/web"])
        #expect(state.revision == 5)
    }

    @Test mutating func anotherRunReplacesTheFormer() {
        _ = apply(Make.register(acl))
        let second = Make.registration("ACL", boot: "b", "acl", "db")
        #expect(apply(Make.register(second), at: 5_000) == ["+ACL"])
        #expect(state.snapshot.node("ACL")?.bootID == Make.boot("b"))
        #expect(state.snapshot.node("ACL")?.since == Make.time(5_000).unix)
        // What the former run still says is too late.
        #expect(outcome(Make.renew(acl)) == .resync)
        #expect(outcome(.deregister(node: "ACL", bootID: Make.boot("a"))) == .staleBoot)
        #expect(outcome(.linkLost(node: "ACL", bootID: Make.boot("a"))) == .staleBoot)
        #expect(outcome(.setHealth(node: "ACL", bootID: Make.boot("a"), health: [:], hash: "")) == .staleBoot)
        #expect(state.snapshot.node("ACL")?.state == .up)
    }

    @Test mutating func renewalExtendsTheLease() {
        _ = apply(Make.register(acl))
        #expect(outcome(Make.renew(acl), at: 20_000) == .done)
        #expect(state.nextDeadline() == 50_000)
        #expect(expire(at: 49_999) == [])
        #expect(state.revision == 1)
    }

    @Test mutating func renewalOfSomethingElseAsksForAllOfIt() {
        #expect(outcome(Make.renew(acl)) == .resync)
        _ = apply(Make.register(acl))
        let other = Make.registration("ACL", "acl")
        #expect(outcome(.renew(node: "ACL", bootID: acl.bootID, hash: other.hash)) == .resync)
        #expect(outcome(.renew(node: "ACL", bootID: Make.boot("b"), hash: acl.hash)) == .resync)
        #expect(state.lease(of: "ACL") == .held(until: 30_000))
    }

    @Test mutating func leaseEndsInTwoSteps() {
        _ = apply(Make.register(acl))
        #expect(state.nextDeadline() == 30_000)
        #expect(expire(at: 29_999) == [])
        #expect(expire(at: 30_000) == ["?ACL"])
        #expect(state.snapshot.instances(of: "db").count == 1)
        #expect(state.snapshot.node("ACL")?.since == Make.time(30_000).unix)
        #expect(state.nextDeadline() == 45_000)
        #expect(expire(at: 44_999) == [])
        #expect(expire(at: 45_000) == ["-ACL/acl", "-ACL/db", "-ACL"])
        #expect(state.snapshot.nodeCount == 0)
        #expect(state.snapshot.serviceCount == 0)
        #expect(state.nextDeadline() == nil)
        #expect(state.revision == 3)
    }

    @Test mutating func lostLinkStartsTheGracePeriodAtOnce() {
        _ = apply(Make.register(acl))
        #expect(apply(.linkLost(node: "ACL", bootID: acl.bootID), at: 1_000) == ["?ACL"])
        #expect(state.lease(of: "ACL") == .lost(until: 16_000))
        // Told again, it does not start anew.
        #expect(apply(.linkLost(node: "ACL", bootID: acl.bootID), at: 2_000) == [])
        #expect(state.lease(of: "ACL") == .lost(until: 16_000))
        #expect(expire(at: 16_000).last == "-ACL")
    }

    @Test mutating func renewalOverANewLinkEndsTheGracePeriod() {
        _ = apply(Make.register(acl))
        _ = apply(.linkLost(node: "ACL", bootID: acl.bootID), at: 1_000)
        #expect(apply(Make.renew(acl), at: 2_000) == ["+ACL"])
        #expect(state.snapshot.node("ACL")?.since == Make.time(2_000).unix)
        #expect(expire(at: 16_000) == [])
        #expect(state.lease(of: "ACL") == .held(until: 32_000))
    }

    @Test mutating func registeringEndsTheGracePeriodToo() {
        _ = apply(Make.register(acl))
        _ = apply(.linkLost(node: "ACL", bootID: acl.bootID), at: 1_000)
        #expect(apply(Make.register(Make.registration("ACL", boot: "b", "acl", "db")), at: 2_000) == ["+ACL"])
        #expect(expire(at: 20_000) == [])
    }

    @Test mutating func deregisteringRemovesEverythingAtOnce() {
        _ = apply(Make.register(acl))
        _ = apply(Make.register(Make.registration("B", "db")))
        #expect(apply(.deregister(node: "ACL", bootID: acl.bootID)) == ["-ACL/acl", "-ACL/db", "-ACL"])
        #expect(outcome(.deregister(node: "ACL", bootID: acl.bootID)) == .unknownNode)
        #expect(state.snapshot.instances(of: "db").map(\.id) == ["B/db"])
        #expect(apply(.deregister(node: "B", bootID: nil)) == ["-B/db", "-B"])
    }

    @Test mutating func healthChangesOnlyWhatItNames() {
        _ = apply(Make.register(acl))
        var changed = acl
        changed.setServices(
            acl.services.map {
                var copy = $0; copy.health = $0.service == "db" ? .critical : $0.health; return copy
            })
        #expect(
            apply(.setHealth(node: "ACL", bootID: acl.bootID, health: ["db": .critical], hash: changed.hash))
                == ["+ACL/db=critical"])
        #expect(outcome(Make.renew(changed)) == .done)
        #expect(outcome(Make.renew(acl)) == .resync)
        let unknown = DirectoryState.Command.setHealth(
            node: "ACL", bootID: acl.bootID, health: ["db": .passing, "none": .passing], hash: "")
        #expect(outcome(unknown) == .unknownService("none"))
        #expect(state.snapshot.instances(of: "db").first?.health == .critical)
        #expect(outcome(.setHealth(node: "X", bootID: acl.bootID, health: [:], hash: "")) == .unknownNode)
    }

    @Test mutating func revokedNamesGoAndTheNodeRegistersAnew() {
        _ = apply(Make.register(acl))
        #expect(apply(.revoke(node: "ACL", services: ["db", "none"])) == ["-ACL/db"])
        #expect(outcome(Make.renew(acl)) == .resync)
        #expect(outcome(.revoke(node: "X", services: [])) == .unknownNode)
        let nothing = state.apply(.revoke(node: "ACL", services: []), at: Make.time(0))
        #expect(nothing.change == nil)
    }

    @Test func restartedDirectoryLosesNothingBeforeItsGraceEnds() {
        let stored = StoredNode(registration: acl, submittedHash: acl.hash, state: .up, since: 5)
        let lost = StoredNode(registration: Make.registration("L", "x"), submittedHash: "", state: .lost, since: 6)
        var state = DirectoryState(
            restored: RestoredDirectory(epoch: "e", revision: 41, nodes: [stored, lost]), settings: Make.settings,
            now: Make.time(1_000))
        #expect(state.revision == 41)
        #expect(state.snapshot.nodes.map(\.state) == [.up, .lost])
        #expect(state.lease(of: "ACL") == .unconfirmed(until: 61_000))
        #expect(state.expired(at: Make.time(60_999)) == [])
        // A renewal confirms it without anybody being told.
        let renewal = state.apply(Make.renew(acl), at: Make.time(2_000))
        #expect(renewal.outcome == .done)
        #expect(renewal.change == nil)
        #expect(state.lease(of: "ACL") == .held(until: 32_000))
        // Who never comes back goes the usual way, lost first.
        #expect(state.expired(at: Make.time(61_000)) == ["ACL", "L"])
        let first = state.apply(.expire(node: "L"), at: Make.time(61_000))
        #expect(first.change == nil)
        #expect(state.lease(of: "L") == .lost(until: 76_000))
        #expect(state.apply(.expire(node: "L"), at: Make.time(76_000)).short == ["-L/x", "-L"])
    }

    @Test mutating func expiryIsNamedUntilItWasApplied() {
        _ = apply(Make.register(acl))
        #expect(state.expired(at: Make.time(30_000)) == ["ACL"])
        #expect(state.expired(at: Make.time(30_000)) == ["ACL"])
        // A renewal in between wins.
        #expect(outcome(Make.renew(acl), at: 30_000) == .done)
        #expect(apply(.expire(node: "ACL"), at: 30_000) == [])
        #expect(state.expired(at: Make.time(30_000)) == [])
        #expect(outcome(.expire(node: "X")) == .unknownNode)
    }

    @Test mutating func renewalsDoNotPileUp() {
        _ = apply(Make.register(acl))
        for step in 1...10_000 { _ = apply(Make.renew(acl), at: Int64(step)) }
        #expect(state.nextDeadline() == 40_000)
        #expect(state.expired(at: Make.time(39_999)) == [])
    }

    @Test mutating func undoBringsBackWhatWas() {
        _ = apply(Make.register(acl))
        let before = state.snapshot
        let lease = state.lease(of: "ACL")
        let steps = [
            state.apply(.deregister(node: "ACL", bootID: nil), at: Make.time(1)),
            state.apply(Make.register(Make.registration("B", "web")), at: Make.time(2)),
            state.apply(Make.register(Make.registration("ACL", boot: "c", "x")), at: Make.time(3)),
            state.apply(.deregister(node: "ACL", bootID: nil), at: Make.time(4)),
        ]
        // Deadlines of what is gone are dropped, and must come back.
        _ = state.nextDeadline()
        for step in steps.reversed() { state.undo(step) }
        #expect(state.snapshot == before)
        #expect(state.lease(of: "ACL") == lease)
        #expect(state.nextDeadline() == 30_000)
        #expect(expire(at: 30_000) == ["?ACL"])
    }

    @Test func hashSeesEveryPart() {
        var hashes: Set<String> = [acl.hash]
        var count = 1
        func add(_ change: (inout Registration) -> Void) {
            var copy = acl
            change(&copy)
            hashes.insert(copy.hash)
            count += 1
        }
        add { $0.bootID = Make.boot("b") }
        add { $0.addresses = ["127.0.1.1:7401"] }
        add { $0.addresses = [] }
        add { $0.metadata = ["a": "b"] }
        add { $0.metadata = ["a": "c"] }
        add { $0.metadata = ["ab": ""] }
        add { $0.setServices([]) }
        for change in [
            { (instance: inout Instance) in instance.protocol = "http" }, { $0.tags = ["x"] }, { $0.tags = ["x", ""] },
            { $0.weight = 1 }, { $0.metadata = ["k": "v"] }, { $0.health = .critical }, { $0.service = "renamed" },
        ] {
            add { registration in
                var services = registration.services
                change(&services[0])
                registration.setServices(services)
            }
        }
        #expect(hashes.count == count)
        // Order of the parts does not matter where it has no meaning.
        var turned = acl
        turned.setServices(acl.services.reversed())
        #expect(turned.hash == acl.hash)
        #expect(acl.hash == "\(Make.registration("ACL", "acl", "db").hash)")
    }
}
