import JOSE
import JSON
import Testing

/// Nothing that is one change away from a valid token, proof or key gets in, and each is told the right reason.
@Suite struct NegativeTests {
    static var cases: [NegativeCase] {
        var table = NegativeTable()
        formCases(&table)
        keyCases(&table)
        claimCases(&table)
        bindingCases(&table)
        return table.cases
    }

    @Test(arguments: Attempt.Base.allCases)
    func withoutAChangeItIsAccepted(_ base: Attempt.Base) throws {
        let attempt = try Attempt(base, Keys.shared.get())
        let result = try attempt.result()
        #expect(try attempt.outcome() == "accepted", "\(result)")
    }

    @Test func oneChangeIsRefusedWithItsReason() throws {
        let keys = try Keys.shared.get()
        for negative in Self.cases {
            var attempt = try Attempt(negative.base, keys)
            try negative.change(&attempt, keys)
            let outcome = try attempt.outcome()
            #expect(outcome == negative.reason, "\(negative.name)")
        }
    }

    @Test func theTableIsAsLargeAsItSays() {
        let cases = Self.cases
        let names = Set(cases.map { "\($0.base) \($0.name) \($0.reason)" })
        let reasons = Set(cases.map(\.reason))
        #expect(names.count == cases.count, "each has a name of its own")
        #expect(cases.count >= 250 && reasons.count >= 80, "\(cases.count) cases, \(reasons.count) reasons")
    }

    @Test func everyReasonIsInTheTable() {
        // Not a refusal of what was presented, but of what it is for.
        let elsewhere: Set<AuthenticationReason> = [.insufficientScope]
        let covered = Set(Self.cases.map(\.reason))
        let missing = AuthenticationReason.allCases.filter { !covered.contains($0.rawValue) && !elsewhere.contains($0) }
        #expect(missing.isEmpty, "\(missing)")
    }
}
