import Bytes
import JOSE
import JSON

/// Where a token stands, how it is cut, what its header says.
func formCases(_ table: inout NegativeTable) {
    table.add("nothing", .missingToken) { attempt, _ in attempt.present = { _, _, _ in } }
    table.add("two Authorization fields", .multipleCredentials) { attempt, _ in
        attempt.present = { credentials, token, _ in credentials.authorization = ["Bearer " + token, "Bearer " + token]
        }
    }
    table.add("Authorization and subprotocol", .multipleCredentials) { attempt, _ in
        attempt.present = { credentials, token, _ in
            credentials.authorization = ["Bearer " + token]
            credentials.token = token
        }
    }
    table.add("token and API key", .multipleCredentials) { attempt, _ in
        let key = attempt.apiKey
        attempt.present = { credentials, token, _ in
            credentials.authorization = ["Bearer " + token]
            credentials.apiKeys = [key]
        }
    }
    table.add("scheme Basic", .unsupportedScheme) { attempt, _ in
        attempt.present = { credentials, token, _ in credentials.authorization = ["Basic " + token] }
    }
    table.add("no scheme", .unsupportedScheme) { attempt, _ in
        attempt.present = { credentials, token, _ in credentials.authorization = [token] }
    }
    table.add("scheme alone", .malformedAuthorization) { attempt, _ in
        attempt.present = { credentials, _, _ in credentials.authorization = ["Bearer"] }
    }
    table.add("scheme and blank", .malformedAuthorization) { attempt, _ in
        attempt.present = { credentials, _, _ in credentials.authorization = ["Bearer "] }
    }
    table.add("leading blank", .malformedAuthorization) { attempt, _ in
        attempt.present = { credentials, token, _ in credentials.authorization = [" Bearer " + token] }
    }
    table.add("two tokens in one field", .malformedAuthorization) { attempt, _ in
        attempt.present = { credentials, token, _ in credentials.authorization = ["Bearer \(token), Bearer \(token)"] }
    }
    table.add("trailing blank", .malformedAuthorization) { attempt, _ in
        attempt.present = { credentials, token, _ in credentials.authorization = ["Bearer \(token) "] }
    }
    table.add("token in quotation marks", .malformedAuthorization) { attempt, _ in
        attempt.present = { credentials, token, _ in credentials.authorization = ["Bearer \"\(token)\""] }
    }
    table.add("a byte over the limit", .tokenTooLarge) { attempt, _ in
        attempt.token.edit = { $0 + String(repeating: "A", count: (16 << 10) + 1 - $0.utf8.count) }
    }
    table.add("a huge field", .tokenTooLarge) { attempt, _ in
        attempt.present = { credentials, token, _ in
            credentials.authorization = ["Bearer \(token)" + String(repeating: "A", count: 1 << 20)]
        }
    }
    table.add("no dots", .malformedToken) { attempt, _ in attempt.token.edit = { $0.filter { $0 != "." } } }
    table.add("signature cut off with its dot", .malformedToken) { attempt, _ in
        attempt.token.edit = { $0.split(separator: ".").dropLast().joined(separator: ".") }
    }
    table.add("four parts", .malformedToken) { attempt, _ in attempt.token.edit = { $0 + ".AAAA" } }
    table.add("a dot at the end", .malformedToken) { attempt, _ in attempt.token.edit = { $0 + "." } }
    table.add("five parts", .encryptedToken) { attempt, _ in attempt.token.edit = { $0 + ".AAAA.AAAA" } }
    table.add("enc in the header", .encryptedToken) { attempt, _ in attempt.token.header["enc"] = "A128GCM" }
    table.add("JSON serialisation", .jsonSerialization) { attempt, _ in
        attempt.present = { credentials, token, _ in
            let parts = token.split(separator: ".")
            credentials.token =
                "{\"protected\":\"\(parts[0])\",\"payload\":\"\(parts[1])\",\"signature\":\"\(parts[2])\"}"
        }
    }
    table.add("cty JWT", .nestedToken) { attempt, _ in attempt.token.header["cty"] = "JWT" }
    table.add("cty application/jwt", .nestedToken) { attempt, _ in
        attempt.token.header["cty"] = "application/jwt"
    }
    table.add("header padded", .badBase64) { attempt, _ in
        attempt.token.edit = { $0.replacingFirst(".", with: "=.") }
    }
    table.add("signature padded", .badBase64) { attempt, _ in attempt.token.edit = { $0 + "==" } }
    table.add("standard alphabet", .badBase64) { attempt, _ in
        attempt.token.edit = { $0.replacingFirst(".", with: "+.") }
    }
    table.add("trailing bits of the signature", .badBase64) { attempt, _ in
        // 64 bytes end in a character with four bits to spare.
        attempt.token.edit = { token in
            let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
            let last = alphabet.firstIndex(of: token.last ?? "A") ?? 0
            return String(token.dropLast()) + String(alphabet[last ^ 1])
        }
    }
    table.add("claims cut by a byte", .badBase64) { attempt, _ in
        attempt.token.claimsText = "{}"
        attempt.token.edit = { $0.replacingFirst(".e30.", with: ".e30AA.") }
    }
    table.add("header not JSON", .malformedHeader) { attempt, _ in attempt.token.headerText = "alg=ES256" }
    table.add("header an array", .malformedHeader) { attempt, _ in attempt.token.headerText = "[\"ES256\"]" }
    table.add("header empty", .malformedHeader) { attempt, _ in attempt.token.headerText = "" }
    table.add("header with something after it", .malformedHeader) { attempt, _ in
        attempt.token.headerText = #"{"alg":"ES256","kid":"ec"} {}"#
    }
    table.add("header in UTF-16", .malformedHeader) { attempt, _ in
        attempt.token.headerText = "{\u{0}\"\u{0}a\u{0}\"\u{0}}\u{0}"
    }
    table.add("alg a number", .malformedHeader) { attempt, _ in attempt.token.header["alg"] = 256 }
    table.add("alg an array", .malformedHeader) { attempt, _ in attempt.token.header["alg"] = ["ES256"] }
    table.add("alg null", .malformedHeader) { attempt, _ in attempt.token.header["alg"] = nil as JSONValue }
    table.add("typ a number", .malformedHeader) { attempt, _ in attempt.token.header["typ"] = 1 }
    table.add("cty a number", .malformedHeader) { attempt, _ in attempt.token.header["cty"] = 1 }
    table.add("zip", .malformedHeader) { attempt, _ in attempt.token.header["zip"] = "DEF" }
    table.add("claims not JSON", .malformedClaims) { attempt, _ in attempt.token.claimsText = "iss=x" }
    table.add("claims a string", .malformedClaims) { attempt, _ in attempt.token.claimsText = "\"iss\"" }
    table.add("claims empty", .malformedClaims) { attempt, _ in attempt.token.claimsText = "" }
    table.add("claims too deep", .malformedClaims) { attempt, _ in
        let deep = String(repeating: "[", count: 40) + String(repeating: "]", count: 40)
        attempt.token.claimsText = "{\"a\":\(deep)}"
    }
    table.add("claims with a comment", .malformedClaims) { attempt, _ in
        attempt.token.claimsText = "{} // and no more"
    }
    table.add("claims with NaN", .malformedClaims) { attempt, _ in attempt.token.claimsText = "{\"exp\":NaN}" }
    table.add("claims that overflow", .malformedClaims) { attempt, _ in
        attempt.token.claimsText = "{\"exp\":1e999}"
    }
    table.add("alg twice", .duplicateMember) { attempt, _ in
        attempt.token.headerText = #"{"alg":"ES256","kid":"ec","alg":"ES256"}"#
    }
    table.add("alg twice, once escaped", .duplicateMember) { attempt, _ in
        attempt.token.headerText = #"{"alg":"ES256","kid":"ec","\u0061lg":"none"}"#
    }
    table.add("sub twice", .duplicateMember) { attempt, _ in
        let text = JSONValue.object(attempt.token.claims).text()
        attempt.token.claimsText = text.dropLast() + ",\"sub\":\"bob\"}"
    }
    table.add("exp twice", .duplicateMember) { attempt, _ in
        let text = JSONValue.object(attempt.token.claims).text()
        attempt.token.claimsText = "{\"exp\":9999999999," + text.dropFirst()
    }
    table.add("a doubled member far inside", .duplicateMember) { attempt, _ in
        let text = JSONValue.object(attempt.token.claims).text()
        attempt.token.claimsText = text.dropLast() + #","x":{"a":1,"a":2}}"#
    }
    table.add("crit unknown", .unsupportedCritical) { attempt, _ in
        attempt.token.header["crit"] = ["http://example.com/x"]
        attempt.token.header["http://example.com/x"] = true
    }
    table.add("crit empty", .unsupportedCritical) { attempt, _ in attempt.token.header["crit"] = [] }
    table.add("crit a string", .unsupportedCritical) { attempt, _ in attempt.token.header["crit"] = "exp" }
    table.add("crit names exp", .unsupportedCritical) { attempt, _ in
        attempt.token.header["crit"] = ["exp"]
        attempt.token.header["exp"] = 1
    }
    table.add("crit names alg", .unsupportedCritical) { attempt, _ in attempt.token.header["crit"] = ["alg"] }
    table.add("b64 false", .unencodedPayload) { attempt, _ in attempt.token.header["b64"] = false }
    table.add("b64 false and critical", .unencodedPayload) { attempt, _ in
        attempt.token.header["b64"] = false
        attempt.token.header["crit"] = ["b64"]
    }
    table.add("typ of a DPoP proof", .wrongType) { attempt, _ in attempt.token.header["typ"] = "dpop+jwt" }
    table.add("typ of a logout token", .wrongType) { attempt, _ in attempt.token.header["typ"] = "logout+jwt" }
    table.add("typ of an ID token hint", .wrongType) { attempt, _ in
        attempt.token.header["typ"] = "application/secevent+jwt"
    }
    table.add("typ empty", .wrongType) { attempt, _ in attempt.token.header["typ"] = "" }
    table.add("signature cut off", .missingSignature) { attempt, _ in
        attempt.token.signer = .bytes([])
    }
}

extension String {
    /// The text with the first of a part replaced.
    func replacingFirst(_ part: String, with other: String) -> String {
        guard let place = firstRange(of: part) else { return self }
        return String(self[..<place.lowerBound]) + other + String(self[place.upperBound...])
    }
}
