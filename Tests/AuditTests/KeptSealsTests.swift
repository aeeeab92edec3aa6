import Audit
import JSON
import PKI
import Testing

/// Seals that are kept for another node: numbers only rise, and nobody makes room by sending more.
@Suite("Kept seals")
struct KeptSealsTests {
    private static let hash = AuditHash(text: String(repeating: "A", count: 43))

    private func seal(_ sequence: UInt64, log: String = "0011", other: Bool = false) throws -> AuditSeal {
        let hash = try #require(other ? AuditHash(text: String(repeating: "B", count: 42) + "A") : Self.hash)
        return try AuditSeal(log: log, sequence: sequence, hash: hash, by: Fixture.key)
    }

    private func refused(_ kept: inout KeptSeals, _ seal: AuditSeal) -> AuditError.Code? {
        do throws(AuditError) {
            _ = try kept.take(seal, now: 0)
            return nil
        } catch {
            return error.code
        }
    }

    private func taken(_ kept: inout KeptSeals, _ seal: AuditSeal, at now: Int64 = 0) throws -> Bool {
        try kept.take(seal, now: now) == .taken
    }

    @Test("numbers rise; what contradicts is not taken")
    func order() throws {
        var kept = KeptSeals()
        let outcomes = [
            try taken(&kept, seal(5)), try taken(&kept, seal(5), at: 1), try taken(&kept, seal(9), at: 2),
        ]
        #expect(outcomes == [true, false, true])
        let refusals = [
            refused(&kept, try seal(7)), refused(&kept, try seal(5)), refused(&kept, try seal(9, other: true)),
        ]
        #expect(refusals == [.sealGoesBack, .sealGoesBack, .sealGoesBack])
        #expect(kept.kept.map(\.seal.sequence) == [5, 9])
        // A log that was begun anew is another one, and the old one does not come back.
        let isTaken = try taken(&kept, seal(1, log: "0022"), at: 3)
        #expect(isTaken)
        let refusal = refused(&kept, try seal(100))
        #expect(refusal == .sealGoesBack)
    }

    @Test("what no log makes is refused")
    func nonsense() throws {
        var kept = KeptSeals()
        let refusal = refused(&kept, try seal(1, log: String(repeating: "x", count: 65)))
        #expect(refusal == .badSeal)
        #expect(kept.kept.isEmpty)
    }

    @Test("a flood does not push out what was left on other days")
    func room() throws {
        var kept = KeptSeals()
        var number: UInt64 = 0
        for day in 0..<10 {
            for _ in 0..<40 {
                number += 1
                _ = try kept.take(seal(number), now: Int64(day) * 86_400 + 10)
            }
        }
        let firsts = Set((0..<10).map { UInt64($0 * 40 + 1) })
        #expect(firsts.isSubset(of: kept.kept.map(\.seal.sequence)))
        for _ in 0..<10_000 {
            number += 1
            _ = try kept.take(seal(number), now: 10 * 86_400)
        }
        #expect(firsts.isSubset(of: kept.kept.map(\.seal.sequence)))
        #expect(kept.kept.count <= KeptSeals.newest + 11)
        // Years: the number of days is bounded as well.
        for day in 11..<500 {
            number += 1
            _ = try kept.take(seal(number), now: Int64(day) * 86_400)
        }
        #expect(kept.kept.count == KeptSeals.capacity)
        #expect(kept.kept.map(\.seal.sequence) == kept.kept.map(\.seal.sequence).sorted())
        #expect(try KeptSeals(json: JSONReader.parse(kept.json.text())) == kept)
    }

    @Test("files that are none of ours", arguments: ["{}", "[{}]", "[{\"at\":1}]", "[{\"at\":1,\"seal\":{}}]", "7"])
    func damaged(_ text: String) throws {
        #expect(throws: AuditError.self) { try KeptSeals(json: JSONReader.parse(text)) }
    }
}
