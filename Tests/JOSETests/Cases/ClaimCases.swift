import JOSE
import JSON

private let now = Attempt.now

/// What a token says.
func claimCases(_ table: inout NegativeTable) {
    table.add("iss absent", .missingIssuer) { attempt, _ in attempt.token.claims["iss"] = .none }
    table.add("iss an array", .missingIssuer) { attempt, _ in
        attempt.token.claims["iss"] = [.string(Attempt.issuer)]
    }
    table.add("iss of somebody else", .unknownIssuer) { attempt, _ in
        attempt.token.claims["iss"] = "https://attacker.example"
    }
    table.add("iss with a slash more", .unknownIssuer) { attempt, _ in
        attempt.token.claims["iss"] = .string(Attempt.issuer + "/")
    }
    table.add("iss in another case", .unknownIssuer) { attempt, _ in
        attempt.token.claims["iss"] = .string(Attempt.issuer.uppercased())
    }
    table.add("iss empty", .unknownIssuer) { attempt, _ in attempt.token.claims["iss"] = "" }
    table.add("exp absent", .missingExpiry) { attempt, _ in attempt.token.claims["exp"] = .none }
    table.add("exp a string", .badTime) { attempt, _ in attempt.token.claims["exp"] = "1800000600" }
    table.add("exp null", .badTime) { attempt, _ in attempt.token.claims["exp"] = .some(.null) }
    table.add("exp negative", .badTime) { attempt, _ in attempt.token.claims["exp"] = -1 }
    table.add("exp huge", .badTime) { attempt, _ in attempt.token.claims["exp"] = 253_402_300_800 }
    table.add("exp beyond Int64", .badTime) { attempt, _ in attempt.token.claims["exp"] = 1e300 }
    table.add("exp in milliseconds", .badTime) { attempt, _ in
        attempt.token.claims["exp"] = .integer((now + 600) * 1000)
    }
    table.add("exp an array", .badTime) { attempt, _ in attempt.token.claims["exp"] = [.integer(now + 600)] }
    table.add("exp true", .badTime) { attempt, _ in attempt.token.claims["exp"] = true }
    table.add("nbf a string", .badTime) { attempt, _ in attempt.token.claims["nbf"] = "0" }
    table.add("iat a string", .badTime) { attempt, _ in attempt.token.claims["iat"] = "0" }
    table.add("iat negative", .badTime) { attempt, _ in attempt.token.claims["iat"] = -0.5 }
    table.add("expired now", .expired) { attempt, _ in attempt.token.claims["exp"] = .integer(now) }
    table.add("expired by a second", .expired) { attempt, _ in attempt.token.claims["exp"] = .integer(now - 1) }
    table.add("expired by less than a second", .expired) { attempt, _ in
        attempt.token.claims["exp"] = .number(Double(now) + 0.9)
    }
    table.add("expired by the leeway", .expired) { attempt, _ in
        attempt.leeway = 30
        attempt.token.claims["exp"] = .integer(now - 30)
        attempt.token.claims["iat"] = .integer(now - 600)
        attempt.token.claims["nbf"] = .integer(now - 600)
    }
    table.add("valid from the next second on", .notYetValid) { attempt, _ in
        attempt.token.claims["nbf"] = .integer(now + 1)
    }
    table.add("valid from a fraction on", .notYetValid) { attempt, _ in
        attempt.token.claims["nbf"] = .number(Double(now) + 0.5)
    }
    table.add("valid a second after the leeway", .notYetValid) { attempt, _ in
        attempt.leeway = 30
        attempt.token.claims["nbf"] = .integer(now + 31)
    }
    table.add("issued in the next second", .issuedInFuture) { attempt, _ in
        attempt.token.claims["iat"] = .integer(now + 1)
    }
    table.add("issued a second after the leeway", .issuedInFuture) { attempt, _ in
        attempt.leeway = 30
        attempt.token.claims["iat"] = .integer(now + 31)
    }
    table.add("exp before iat", .badLifetime) { attempt, _ in
        attempt.leeway = 300
        attempt.token.claims["exp"] = .integer(now - 20)
    }
    table.add("exp at nbf", .badLifetime) { attempt, _ in
        attempt.token.claims["nbf"] = .integer(now + 600)
    }
    table.add("valid for longer than allowed", .lifetimeTooLong) { attempt, _ in attempt.maximumLifetime = 609 }
    table.add("valid for too long, without iat", .lifetimeTooLong) { attempt, _ in
        attempt.maximumLifetime = 599
        attempt.token.claims["iat"] = .none
    }
    table.add("aud absent", .missingAudience) { attempt, _ in attempt.token.claims["aud"] = .none }
    table.add("aud empty", .badAudience) { attempt, _ in attempt.token.claims["aud"] = "" }
    table.add("aud an empty array", .badAudience) { attempt, _ in attempt.token.claims["aud"] = [] }
    table.add("aud an object", .badAudience) { attempt, _ in
        attempt.token.claims["aud"] = ["0": .string(Attempt.audience)]
    }
    table.add("aud with a number", .badAudience) { attempt, _ in
        attempt.token.claims["aud"] = [.string(Attempt.audience), 7]
    }
    table.add("aud nested", .badAudience) { attempt, _ in
        attempt.token.claims["aud"] = [[.string(Attempt.audience)]]
    }
    table.add("aud true", .badAudience) { attempt, _ in attempt.token.claims["aud"] = true }
    table.add("aud of another service", .wrongAudience) { attempt, _ in
        attempt.token.claims["aud"] = "https://other.example"
    }
    table.add("aud with ours as its beginning", .wrongAudience) { attempt, _ in
        attempt.token.claims["aud"] = .string(Attempt.audience + ".attacker.example")
    }
    table.add("aud of many others", .wrongAudience) { attempt, _ in attempt.token.claims["aud"] = ["a", "b", "c"] }
    table.add("aud in another case", .wrongAudience) { attempt, _ in attempt.token.claims["aud"] = "SECOND" }
    table.add("aud several in one text", .wrongAudience) { attempt, _ in
        attempt.token.claims["aud"] = .string("first " + Attempt.audience)
    }
    table.add("sub absent", .missingSubject) { attempt, _ in attempt.token.claims["sub"] = .none }
    table.add("sub empty", .badSubject) { attempt, _ in attempt.token.claims["sub"] = "" }
    table.add("sub a number", .badSubject) { attempt, _ in attempt.token.claims["sub"] = 42 }
    table.add("sub an object", .badSubject) { attempt, _ in attempt.token.claims["sub"] = ["id": "alice"] }
    table.add("sub with a line break", .badSubject) { attempt, _ in
        attempt.token.claims["sub"] = "alice\r\nX-Admin: 1"
    }
    table.add("sub with NUL", .badSubject) { attempt, _ in attempt.token.claims["sub"] = "alice\u{0}" }
    table.add("sub huge", .badSubject) { attempt, _ in
        attempt.token.claims["sub"] = .string(String(repeating: "a", count: 256))
    }
    table.add("jti a number", .badTokenID) { attempt, _ in attempt.token.claims["jti"] = 1 }
    table.add("jti empty", .badTokenID) { attempt, _ in attempt.token.claims["jti"] = "" }
    table.add("jti huge", .badTokenID) { attempt, _ in
        attempt.token.claims["jti"] = .string(String(repeating: "j", count: 257))
    }
    table.add("scope a number", .badScope) { attempt, _ in attempt.token.claims["scope"] = 1 }
    table.add("scope with a quotation mark", .badScope) { attempt, _ in
        attempt.token.claims["scope"] = "read\"write"
    }
    table.add("scope with a tab", .badScope) { attempt, _ in attempt.token.claims["scope"] = "read\twrite" }
    table.add("scope an array with null", .badScope) { attempt, _ in
        attempt.token.claims["scope"] = ["read", nil]
    }
    table.add("too many scopes", .badScope) { attempt, _ in
        attempt.token.claims["scope"] = .string((0..<257).map { "s\($0)" }.joined(separator: " "))
    }
    table.add("groups an object", .badClaim) { attempt, _ in attempt.token.claims["groups"] = ["staff": true] }
    table.add("groups with a number", .badClaim) { attempt, _ in attempt.token.claims["groups"] = ["staff", 1] }
    table.add("groups with a fraction", .badClaim) { attempt, _ in attempt.token.claims["groups"] = 1.5 }
    table.add("groups with a line break", .badClaim) { attempt, _ in
        attempt.token.claims["groups"] = ["staff\nadmin"]
    }
    table.add("too many groups", .badClaim) { attempt, _ in
        attempt.token.claims["groups"] = JSONValue((0..<257).map { "g\($0)" })
    }
    table.add("a group too long", .badClaim) { attempt, _ in
        attempt.token.claims["groups"] = .string(String(repeating: "g", count: 1025))
    }
    table.add("nested roles of the wrong type", .badClaim) { attempt, _ in
        attempt.token.claims["realm"] = ["roles": ["admin": 1]]
    }
    table.add("jti revoked", .tokenRevoked) { attempt, _ in
        try attempt.revoke(.token(id: "token-1", issuer: Attempt.issuer))
    }
    table.add("jti revoked for every issuer", .tokenRevoked) { attempt, _ in
        try attempt.revoke(.token(id: "token-1", issuer: nil))
    }
    table.add("subject revoked", .subjectRevoked) { attempt, _ in
        try attempt.revoke(.subject("alice", issuer: Attempt.issuer, issuedBefore: nil))
    }
    table.add("subject's older tokens revoked", .subjectRevoked) { attempt, _ in
        try attempt.revoke(.subject("alice", issuer: Attempt.issuer, issuedBefore: now))
    }
    table.add("subject's older tokens revoked, no iat", .subjectRevoked) { attempt, _ in
        try attempt.revoke(.subject("alice", issuer: Attempt.issuer, issuedBefore: 1))
        attempt.token.claims["iat"] = .none
    }
}

extension Attempt {
    mutating func revoke(_ target: Revocation.Target) throws {
        try configuration.revocations.add(
            Revocation(target, revokedAt: Attempt.now, expiresAt: Attempt.now + 1), at: Attempt.now)
    }
}
