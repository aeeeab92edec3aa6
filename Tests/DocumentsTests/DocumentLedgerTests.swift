import Documents
import JSON
import PKI
import Policy
import Testing

@Suite struct DocumentLedgerTests {
    private let fixture = Fixture.shared

    @Test func newerReplacesOlderAndNeverTheOtherWay() throws {
        var ledger = try fixture.ledger()
        let first = try fixture.document(.policy, 1, Fixture.policy)
        let third = try fixture.document(.policy, 3, Fixture.policy + " ")
        #expect(try ledger.take(first) == .taken)
        #expect(try ledger.take(first) == .known)
        #expect(try ledger.take(third) == .taken)
        #expect(try ledger.take(third) == .known)
        let before = ledger.versions
        #expect(code { _ = try ledger.take(first) } == .older)
        #expect(code { _ = try ledger.take(try fixture.document(.policy, 2, Fixture.policy)) } == .older)
        #expect(ledger.versions == before)
        #expect(ledger.policy?.file == "policy@3")
    }

    /// Two operators sign the same version at once: every node comes to the same one, whichever it heard of first.
    @Test func equalVersionsConverge() throws {
        let one = try fixture.document(.policy, 5, Fixture.policy + " // one")
        let two = try fixture.document(.policy, 5, Fixture.policy + " // two")
        var (left, right) = (try fixture.ledger(), try fixture.ledger())
        for document in [one, two] { _ = try? left.take(document) }
        for document in [two, one] { _ = try? right.take(document) }
        #expect(left.versions == right.versions)
        #expect(left.documents[.policy] == right.documents[.policy])
        #expect(left.versions.stamps[.policy] == max(one.stamp, two.stamp))
        // What an operator hands over has to be a version of its own.
        var third = try fixture.ledger()
        let (lower, higher) = one.stamp < two.stamp ? (one, two) : (two, one)
        #expect(try third.take(lower, asNext: true) == .taken)
        #expect(code { _ = try third.take(higher, asNext: true) } == .older)
        do {
            _ = try third.take(higher, asNext: true)
        } catch {
            #expect(
                error.message
                    == "policy version 5 (\(higher.stamp.digestText)) is not taken: another document that is in force "
                    + "has this version already (\(lower.stamp.digestText))")
        }
        #expect(try third.take(higher) == .taken)
    }

    @Test func whatIsRefusedChangesNothing() throws {
        var empty = DocumentLedger(trustDomain: Fixture.domain, roots: [fixture.root.root])
        var nobody = DocumentLedger(trustDomain: nil, roots: [fixture.root.root])
        var ledger = try fixture.ledger()
        let before = ledger.versions
        let good = try fixture.document(.policy, 2, Fixture.policy)
        #expect(code { _ = try nobody.take(good) } == .noTrustDomain)
        #expect(code { _ = try empty.take(good) } == .noOperators)
        func refused(_ document: SignedDocument) -> DocumentError.Code? { code { _ = try ledger.take(document) } }
        #expect(refused(try fixture.document(.policy, 2, Fixture.policy, by: fixture.stranger)) == .unknownOperator)
        #expect(refused(try fixture.document(.policy, 2, Fixture.policy, domain: "other.test")) == .otherMesh)
        #expect(refused(try fixture.document(.policy, 2, "{ rules: 7 }")) == .badContent)
        #expect(refused(try fixture.document(.revocations, 2, "{}")) == .badContent)
        #expect(refused(try fixture.document(.revocations, 2, "{\"revoked\": [], \"more\": 1}")) == .badContent)
        #expect(
            refused(try fixture.operators(2, [("eve", fixture.stranger)], by: fixture.otherRoot)) == .unknownOperator)
        #expect(
            refused(try fixture.document(.operators, 2, "{}", by: fixture.alice)) == .unknownOperator,
            "an operator cannot name operators")
        #expect(ledger.versions == before)
        #expect(ledger.policy == nil)
        #expect(ledger.revocations.entries.isEmpty)
    }

    /// Each part of an envelope is under the signature.
    @Test(arguments: ["kind", "trustDomain", "version", "issued", "signer", "payload", "signature"])
    func everyPartIsSigned(_ part: String) throws {
        var ledger = try fixture.ledger()
        _ = try ledger.take(try fixture.operators(2, [("alice", fixture.alice), ("bob", fixture.bob)]))
        let good = try fixture.document(.revocations, 7, "{\"revoked\":[]}")
        let other: JSONValue =
            switch part {
            case "kind": "policy"
            case "trustDomain": "docs.test2"
            case "version": 8
            case "issued": .integer(Fixture.now + 1)
            case "signer": .string(fixture.bob.publicKey.spkiSHA256)
            case "payload": try #require(try fixture.document(.revocations, 7, "{\"revoked\": []}").json["payload"])
            default: try #require(try fixture.document(.revocations, 8, "{\"revoked\":[]}").json["signature"])
            }
        var object = try #require(good.json.object)
        object[part] = other
        let forged = try SignedDocument(envelope: JSONValue.object(object).serialized())
        #expect(
            code { _ = try ledger.take(forged) } == (part == "trustDomain" ? .otherMesh : .badSignature))
        #expect(try ledger.take(good) == .taken)
    }

    @Test func operatorsChange() throws {
        var ledger = try fixture.ledger()
        _ = try ledger.take(try fixture.document(.policy, 1, Fixture.policy))
        #expect(
            code { _ = try ledger.take(try fixture.document(.policy, 2, Fixture.policy, by: fixture.bob)) }
                == .unknownOperator)
        _ = try ledger.take(try fixture.operators(2, [("bob", fixture.bob)]))
        #expect(ledger.policy != nil, "what alice signed stays in force")
        #expect(code { _ = try ledger.take(try fixture.document(.policy, 2, Fixture.policy)) } == .unknownOperator)
        #expect(try ledger.take(try fixture.document(.policy, 2, Fixture.policy, by: fixture.bob)) == .taken)
        #expect(
            code { _ = try ledger.take(try fixture.operators(1, [("alice", fixture.alice)])) } == .older,
            "who was removed does not come back with an old list")
    }

    /// After a restart what was in force is in force, also where its signer was removed since: by the list that named him.
    @Test func restored() throws {
        let policy = try fixture.document(.policy, 4, Fixture.policy)
        let former = try fixture.operators(1, [("alice", fixture.alice)])
        var ledger = DocumentLedger(trustDomain: Fixture.domain, roots: [fixture.root.root])
        #expect(try ledger.restore(try fixture.operators(2, [("bob", fixture.bob)])))
        #expect(code { _ = try ledger.restore(policy) } == .unknownOperator, "a signer whom nothing names")
        let other = try fixture.operators(1, [("eve", fixture.stranger)])
        #expect(code { _ = try ledger.restore(policy, under: other) } == .unknownOperator)
        let foreign = try fixture.operators(1, [("alice", fixture.alice)], by: fixture.otherRoot)
        #expect(code { _ = try ledger.restore(policy, under: foreign) } == .unknownOperator, "a list of no root")
        #expect(code { _ = try ledger.restore(policy, under: policy) } == .wrongKind)
        #expect(ledger.policy == nil)
        #expect(try !ledger.restore(policy, under: former))
        #expect(ledger.witnesses == [.policy: former])
        #expect(ledger.versions.stamps[.policy]?.version == 4)
        #expect(
            code { _ = try ledger.take(try fixture.document(.policy, 3, Fixture.policy, by: fixture.bob)) } == .older)
        var changed = try #require(policy.json.object)
        changed["version"] = 9
        var known = try fixture.ledger()
        let forged = try SignedDocument(envelope: JSONValue.object(changed).serialized())
        #expect(code { _ = try known.restore(forged) } == .badSignature)
        #expect(code { _ = try ledger.restore(forged, under: former) } == .badSignature)
        // Somebody else signs the next one, and the old list is not needed any more.
        #expect(try ledger.take(try fixture.document(.policy, 5, Fixture.policy, by: fixture.bob)) == .taken)
        #expect(ledger.witnesses.isEmpty)
    }

    /// The list that names a signer is kept when the next one does not, and as long as one does not.
    @Test func witnessesFollowTheList() throws {
        var ledger = try fixture.ledger()
        _ = try ledger.take(try fixture.document(.policy, 1, Fixture.policy))
        _ = try ledger.take(try fixture.document(.revocations, 1, "{\"revoked\":[]}"))
        #expect(ledger.witnesses.isEmpty)
        let both = try fixture.operators(2, [("alice", fixture.alice), ("bob", fixture.bob)])
        _ = try ledger.take(both)
        #expect(ledger.witnesses.isEmpty)
        _ = try ledger.take(try fixture.operators(3, [("bob", fixture.bob)]))
        #expect(ledger.witnesses == [.policy: both, .revocations: both])
        _ = try ledger.take(try fixture.operators(4, [("bob", fixture.bob)]))
        #expect(ledger.witnesses == [.policy: both, .revocations: both])
        _ = try ledger.take(try fixture.document(.policy, 2, Fixture.policy, by: fixture.bob))
        #expect(ledger.witnesses == [.revocations: both])
        _ = try ledger.take(try fixture.operators(5, [("alice", fixture.alice)]))
        #expect(ledger.witnesses[.revocations] == nil, "alice is back")
        #expect(ledger.witnesses[.policy]?.version == 4)
    }

    /// A root that is not trusted any more vouches for nobody; what is in force stays.
    @Test func rootsChange() throws {
        var ledger = try fixture.ledger()
        _ = try ledger.take(try fixture.document(.policy, 1, Fixture.policy))
        ledger.use(roots: [fixture.otherRoot.root])
        #expect(!ledger.isVouched)
        #expect(ledger.policy != nil)
        #expect(code { _ = try ledger.take(try fixture.document(.policy, 2, Fixture.policy)) } == .noOperators)
        #expect(
            code { _ = try ledger.take(try fixture.operators(2, [("alice", fixture.alice)])) } == .unknownOperator)
        let next = try fixture.operators(2, [("alice", fixture.alice)], by: fixture.otherRoot)
        #expect(try ledger.take(next) == .taken)
        #expect(ledger.isVouched)
        #expect(try ledger.take(try fixture.document(.policy, 2, Fixture.policy)) == .taken)
        ledger.use(roots: [fixture.root.root, fixture.otherRoot.root])
        #expect(ledger.isVouched)
    }

    /// Nobody uses up the numbers: a version is at most a step above the newest, or within what counting can have come to.
    @Test func versionsAreBounded() throws {
        var ledger = try fixture.ledger()
        func taken(_ version: UInt64, _ text: String = Fixture.policy, now: Int64 = Fixture.now) throws
            -> DocumentError.Code?
        {
            let document = try fixture.document(.policy, version, text)
            return code { _ = try ledger.take(document, now: now) }
        }
        #expect(try taken(UInt64(SignedDocument.largestVersion)) == .tooFarAhead)
        #expect(try taken(UInt64(Fixture.now) + 86_401) == .tooFarAhead)
        #expect(ledger.policy == nil)
        #expect(try taken(5_000_000) == nil, "a node that was away for five million changes")
        // Where somebody has gone to the limit, there is room for all that follow, also on a host whose clock is wrong.
        let limit = UInt64(Fixture.now) + 86_400
        #expect(try taken(limit) == nil)
        #expect(try taken(limit + 1, now: 0) == nil)
        #expect(try taken(limit + 1 + DocumentLedger.largestStep + 1, now: 0) == .tooFarAhead)
        #expect(try taken(limit + 1 + DocumentLedger.largestStep, now: 0) == nil)
        #expect(
            code { _ = try ledger.take(try fixture.operators(1 << 50, [("alice", fixture.alice)])) } == .tooFarAhead)
    }

    /// An operator who says what he started from is told when it is not in force any more.
    @Test func theBaseIsCompared() throws {
        var ledger = try fixture.ledger()
        let first = try fixture.document(.policy, 1, Fixture.policy)
        #expect(code { _ = try ledger.take(first, asNext: true, base: 1) } == .changed)
        #expect(try ledger.take(first, asNext: true, base: 0) == .taken)
        #expect(try ledger.take(first, asNext: true, base: 0) == .known, "said twice")
        let third = try fixture.document(.policy, 3, Fixture.policy)
        for base in [0, 2] as [UInt64] {
            #expect(code { _ = try ledger.take(third, asNext: true, base: base) } == .changed, "\(base)")
        }
        #expect(try ledger.take(third, asNext: true, base: 1) == .taken)
    }

    /// A root with any kind of key can name operators.
    @Test(arguments: KeyAlgorithm.allCases) func roots(_ algorithm: KeyAlgorithm) throws {
        let root = try CertificateAuthority.createRoot(
            name: "R", algorithm: algorithm, trustDomain: Fixture.domain, now: Fixture.now)
        var ledger = DocumentLedger(trustDomain: Fixture.domain, roots: [root.root])
        let list = try fixture.operators(1, [("alice", fixture.alice)], by: root)
        #expect(try ledger.take(try SignedDocument(envelope: list.envelope)) == .taken)
        #expect(try ledger.take(try fixture.document(.policy, 1, Fixture.policy)) == .taken)
    }
}
