import Documents
import JSON
import PKI
import Testing

/// Lists of roots: what is one, who may sign it, and what a node goes by after it.
@Suite struct RootListTests {
    private let fixture = Fixture.shared
    private let roots: (old: CertificateAuthority, new: CertificateAuthority, next: CertificateAuthority)
    private let newByOld: Certificate
    private let oldByNew: Certificate

    init() throws {
        func root(_ name: String) throws -> CertificateAuthority {
            try CertificateAuthority.createRoot(name: name, trustDomain: Fixture.domain, now: Fixture.now)
        }
        roots = (try root("Old"), try root("New"), try root("Next"))
        newByOld = try roots.old.crossSign(roots.new.root, validity: 1000, now: Fixture.now)
        oldByNew = try roots.new.crossSign(roots.old.root, validity: 1000, now: Fixture.now)
    }

    private func list(
        _ old: RootList.State, _ new: RootList.State, crossSigned: [Certificate]? = nil
    ) throws -> RootList {
        try RootList(
            [.init(roots.old.root, old), .init(roots.new.root, new)], crossSigned: crossSigned ?? [newByOld, oldByNew],
            trustDomain: Fixture.domain)
    }

    private func document(
        _ version: UInt64, _ list: RootList, by authority: CertificateAuthority
    ) throws -> SignedDocument {
        guard case .issuer(_, let key) = authority.signer else { fatalError("a CA has a key") }
        return try SignedDocument(
            .trust, trustDomain: Fixture.domain, version: version, issued: Fixture.now, payload: list.payload,
            signedBy: key)
    }

    private func ledger(_ roots: [CertificateAuthority]? = nil) -> DocumentLedger {
        DocumentLedger(trustDomain: Fixture.domain, roots: (roots ?? [self.roots.old]).map(\.root))
    }

    @Test func contentIsReadBack() throws {
        let made = try list(.active, .prepared)
        #expect(try RootList(payload: made.payload, trustDomain: Fixture.domain) == made)
        #expect(made.active == roots.old.root)
        #expect(made.state(of: roots.new.root) == .prepared)
        #expect(made.nextEnd(after: Fixture.now + 999) == Fixture.now + 1000)
        #expect(made.nextEnd(after: Fixture.now + 1000) == nil)
        #expect(made.crossSigned(for: roots.new.root, at: Fixture.now) == [newByOld])
        #expect(made.crossSigned(for: roots.new.root, at: Fixture.now + 1000).isEmpty)
    }

    /// Everything by which a list would be of no use to somebody.
    @Test func badLists() throws {
        func bad(_ entries: [RootList.Entry], _ crossSigned: [Certificate]) -> DocumentError.Code? {
            code { _ = try RootList(entries, crossSigned: crossSigned, trustDomain: Fixture.domain) }
        }
        let (old, new, next) = (roots.old.root, roots.new.root, roots.next.root)
        let both = [newByOld, oldByNew]
        #expect(bad([], []) == .badContent, "no roots")
        #expect(bad([.init(old, .retiring)], []) == .badContent, "none is active")
        #expect(bad([.init(old, .active), .init(new, .active)], both) == .badContent, "two are active")
        #expect(bad([.init(old, .active), .init(old, .retired)], []) == .badContent, "one twice")
        #expect(bad([.init(old, .active), .init(new, .prepared)], []) == .badContent, "prepared without cross-signing")
        #expect(bad([.init(old, .active), .init(new, .prepared)], [newByOld]) == .badContent, "one way only")
        #expect(bad([.init(new, .active), .init(old, .retiring)], [oldByNew]) == .badContent, "the other way only")
        #expect(bad([.init(old, .active)], [newByOld]) == .badContent, "cross-signed for nobody")
        let stranger = try CertificateAuthority.createRoot(name: "Old", trustDomain: Fixture.domain, now: Fixture.now)
        let forged = try stranger.crossSign(new, now: Fixture.now)
        #expect(
            bad([.init(old, .active), .init(new, .prepared)], [forged, oldByNew]) == .badContent, "by another Old")
        let leaf = try roots.old.issueCredentials(
            IssueRequest(node: "n", dnsNames: [], ipAddresses: [], validity: 3600), now: Fixture.now
        ).leaf
        #expect(bad([.init(leaf, .active)], []) == .badContent, "a leaf")
        let intermediate = try roots.old.createIntermediate(name: "I", now: Fixture.now)
        #expect(bad([.init(intermediate.certificate, .active)], []) == .badContent, "an intermediate")
        let foreign = try CertificateAuthority.createRoot(name: "Foreign", trustDomain: "else.test", now: Fixture.now)
        #expect(bad([.init(foreign.root, .active)], []) == .badContent, "another trust domain")
        #expect(bad([.init(next, .active), .init(old, .retired)], []) == nil, "a retired root needs nobody's word")
        #expect(bad(Array(repeating: .init(old, .retired), count: 9), []) == .badContent, "too many")
        for text in [
            "{}", "{\"roots\":[]}", "{\"roots\":[{\"certificate\":\"AA\",\"state\":\"active\"}],\"crossSigned\":[]}",
            "[]",
        ] {
            #expect(
                code { _ = try RootList(payload: Array(text.utf8), trustDomain: Fixture.domain) } == .badContent,
                "\(text)")
        }
    }

    @Test func aWholeRotation() throws {
        var ledger = ledger()
        _ = try ledger.take(try fixture.operators(1, [("alice", fixture.alice)], by: roots.old))
        #expect(try ledger.take(try document(1, try list(.active, .prepared), by: roots.old)) == .taken)
        #expect(Set(ledger.roots.map(\.subject)) == ["CN=Old", "CN=New"])
        #expect(try ledger.take(try document(2, try list(.retiring, .active), by: roots.new)) == .taken)
        #expect(try ledger.take(try fixture.operators(2, [("alice", fixture.alice)], by: roots.new)) == .taken)
        #expect(try ledger.take(try document(3, try list(.retired, .active), by: roots.new)) == .taken)
        #expect(ledger.roots == [roots.new.root])
        #expect(ledger.operators != nil, "the new root has signed their list")
        #expect(code { _ = try ledger.take(try document(2, try list(.active, .retiring), by: roots.old)) } == .older)
        #expect(
            code { _ = try ledger.take(try document(4, try list(.active, .retiring), by: roots.old)) }
                == .unvouchedRoot,
            "a retired root signs nothing any more, also where it names itself")
        #expect(try ledger.take(try fixture.document(.policy, 1, Fixture.policy)) == .taken)
    }

    /// Nobody but a root brings a root.
    @Test func whoMaySign() throws {
        let prepared = try list(.active, .prepared)
        var ledger = ledger()
        _ = try ledger.take(try fixture.operators(1, [("alice", fixture.alice)], by: roots.old))
        let byOperator = try fixture.document(.trust, 1, String(decoding: prepared.payload, as: UTF8.self))
        #expect(code { _ = try ledger.take(byOperator) } == .unvouchedRoot, "an operator")
        #expect(
            code { _ = try ledger.take(try document(1, prepared, by: roots.next)) } == .unvouchedRoot,
            "a root that it does not name")
        // A stranger's root that vouches for itself and for the mesh's.
        let oldByNext = try roots.next.crossSign(roots.old.root, now: Fixture.now)
        let own = try RootList(
            [.init(roots.next.root, .active), .init(roots.old.root, .retired)], crossSigned: [oldByNext],
            trustDomain: Fixture.domain)
        #expect(code { _ = try ledger.take(try document(1, own, by: roots.next)) } == .unvouchedRoot)
        let good = try document(1, prepared, by: roots.old)
        let other = try document(1, try list(.retiring, .active), by: roots.old)
        var object = try #require(good.json.object)
        object["payload"] = other.json["payload"]
        let forged = try SignedDocument(envelope: JSONValue.object(object).serialized())
        #expect(code { _ = try ledger.take(forged) } == .badSignature)
        #expect(ledger.rootList == nil && ledger.versions.stamps[.trust] == nil)
    }

    /// Who has ended vouches for nothing, for himself or by a signature; what was taken in time stays.
    @Test func whoHasEnded() throws {
        func root(_ name: String) throws -> CertificateAuthority {
            try CertificateAuthority.createRoot(
                name: name, trustDomain: Fixture.domain, validity: 500, now: Fixture.now)
        }
        let (short, next) = (try root("Short"), roots.next)
        let crossed = [
            try short.crossSign(next.root, validity: 5000, now: Fixture.now),
            try next.crossSign(short.root, validity: 5000, now: Fixture.now),
        ]
        func list(_ old: RootList.State, _ new: RootList.State) throws -> RootList {
            try RootList(
                [.init(short.root, old), .init(next.root, new)], crossSigned: crossed, trustDomain: Fixture.domain)
        }
        let prepared = try document(1, try list(.active, .prepared), by: short)
        var inTime = ledger([short])
        #expect(try inTime.take(prepared, now: Fixture.now + 499) == .taken)
        var late = ledger([short])
        #expect(code { _ = try late.take(prepared, now: Fixture.now + 500) } == .rootNotInTime)
        #expect(try late.restore(prepared), "it was taken before its signer ended")
        // A root that has ended does not bring its successor either.
        let active = try document(2, try list(.retired, .active), by: next)
        var away = ledger([short])
        #expect(code { _ = try away.take(active, now: Fixture.now + 500) } == .unvouchedRoot)
        #expect(try away.take(active, now: Fixture.now + 499) == .taken)
    }

    /// A root that has left the list is still no root: files that hold it are overruled.
    @Test func whoHasLeftTheList() throws {
        let gone = [roots.old.root.spkiSHA256]
        let list = try RootList(
            [.init(roots.new.root, .active)], crossSigned: [], gone: gone, trustDomain: Fixture.domain)
        #expect(try RootList(payload: list.payload, trustDomain: Fixture.domain) == list)
        #expect(list.state(of: roots.old.root) == .retired && list.retiredKeys == Set(gone))
        #expect(list.applied(to: [roots.old.root, roots.new.root]) == [roots.new.root])
        var ledger = ledger([roots.old, roots.new])
        #expect(try ledger.take(try document(1, list, by: roots.new)) == .taken)
        #expect(ledger.roots == [roots.new.root])
        let again = try self.list(.active, .retiring)
        #expect(code { _ = try ledger.take(try document(2, again, by: roots.old)) } == .unvouchedRoot)
        func bad(_ gone: [String], _ entry: CertificateAuthority) -> DocumentError.Code? {
            code {
                _ = try RootList(
                    [.init(entry.root, .active)], crossSigned: [], gone: gone, trustDomain: Fixture.domain)
            }
        }
        #expect(bad(gone, roots.old) == .badContent, "in the list, and gone")
        #expect(bad(gone + gone, roots.new) == .badContent, "twice")
        #expect(bad(["AAAA"], roots.new) == .badContent, "no key")
        #expect(bad(Array(repeating: gone[0], count: 257), roots.new) == .badContent, "too many")
        #expect(!String(decoding: try self.list(.active, .prepared).payload, as: UTF8.self).contains("gone"))
    }

    /// A node that was away for the whole rotation believes the new root by the old one's word, as long as that lasts.
    @Test func whoWasAway() throws {
        let last = try document(3, try list(.retired, .active), by: roots.new)
        var late = ledger()
        _ = try late.take(try fixture.operators(1, [("alice", fixture.alice)], by: roots.old))
        #expect(try late.take(last, now: Fixture.now + 999) == .taken)
        #expect(late.operators == nil, "nobody who is trusted has signed their list by now")
        #expect(try late.take(try fixture.operators(2, [("alice", fixture.alice)], by: roots.new)) == .taken)
        var tooLate = ledger()
        #expect(code { _ = try tooLate.take(last, now: Fixture.now + 1000) } == .unvouchedRoot)
        // Two rotations later.
        let nextByNew = try roots.new.crossSign(roots.next.root, validity: 5000, now: Fixture.now)
        let twice = try RootList(
            [.init(roots.old.root, .retired), .init(roots.new.root, .retired), .init(roots.next.root, .active)],
            crossSigned: [newByOld, nextByNew], trustDomain: Fixture.domain)
        var veryLate = ledger()
        #expect(try veryLate.take(try document(6, twice, by: roots.next)) == .taken)
        #expect(twice.lateUntil(roots.old.root) == newByOld.notAfter)
        #expect(twice.lateUntil(roots.new.root) == nextByNew.notAfter)
        #expect(twice.admittedLate(at: Fixture.now + 999).count == 2)
        #expect(twice.admittedLate(at: Fixture.now + 1000) == [roots.new.root])
    }

    /// After a restart with the files of before the rotation, long after cross-signed certificates have ended; and where the
    /// restart came in the middle of it.
    @Test func restartWithOldFiles() throws {
        let operators = try fixture.operators(1, [("alice", fixture.alice)], by: roots.old)
        let policy = try fixture.document(.policy, 1, Fixture.policy)
        var ledger = ledger()
        _ = try ledger.restore(try document(3, try list(.retired, .active), by: roots.new))
        #expect(ledger.roots == [roots.new.root])
        #expect(try ledger.restore(operators) == false)
        #expect(ledger.operators == nil && !ledger.isVouched, "a retired root's list names nobody")
        #expect(try ledger.restore(policy) == false)
        #expect(ledger.policy != nil, "what was in force stays in force")
        var other = self.ledger([roots.next])
        #expect(
            code { _ = try other.restore(try document(3, try list(.retired, .active), by: roots.new)) }
                == .unvouchedRoot)
    }

    @Test func filesAreExtendedAndOverruled() throws {
        let partner = try CertificateAuthority.createRoot(name: "P", trustDomain: "else.test", now: Fixture.now).root
        let files = [roots.old.root, partner, roots.next.root]
        #expect(try list(.active, .prepared).applied(to: files) == files + [roots.new.root])
        #expect(try list(.retired, .active).applied(to: files) == [partner, roots.next.root, roots.new.root])
    }
}
