import Bytes
import JOSE
import JSON
import PKI

/// Algorithms, keys and signatures.
func keyCases(_ table: inout NegativeTable) {
    table.add("alg absent", .missingAlgorithm) { attempt, _ in attempt.token.header["alg"] = .none }
    table.add("alg none", .unsecuredToken) { attempt, _ in attempt.token.header["alg"] = "none" }
    table.add("alg none without signature", .unsecuredToken) { attempt, _ in
        attempt.token.header["alg"] = "none"
        attempt.token.signer = .bytes([])
    }
    table.add("alg nOnE", .unsecuredToken) { attempt, _ in attempt.token.header["alg"] = "nOnE" }
    table.add("alg unknown", .unsupportedAlgorithm) { attempt, _ in attempt.token.header["alg"] = "ES999" }
    table.add("alg in lower case", .unsupportedAlgorithm) { attempt, _ in attempt.token.header["alg"] = "es256" }
    table.add("alg with a blank", .unsupportedAlgorithm) { attempt, _ in attempt.token.header["alg"] = "ES256 " }
    table.add("alg ES256K", .unsupportedAlgorithm) { attempt, _ in attempt.token.header["alg"] = "ES256K" }
    table.add("alg of a JWE", .unsupportedAlgorithm) { attempt, _ in attempt.token.header["alg"] = "RSA-OAEP" }
    table.add("alg empty", .unsupportedAlgorithm) { attempt, _ in attempt.token.header["alg"] = "" }
    table.add("HS256 with the public key's PEM", .algorithmNotAllowed) { attempt, keys in
        let pem = PEM.encode(keys.rsa.publicKey.der)
        attempt.sign("rsa", "HS256", .hmac(.sha256, pem))
    }
    table.add("HS256 with the public key's DER", .algorithmNotAllowed) { attempt, keys in
        attempt.sign("ec", "HS256", .hmac(.sha256, keys.p256.publicKey.der))
    }
    table.add("HS512 with the Ed25519 key", .algorithmNotAllowed) { attempt, keys in
        attempt.sign("ed", "HS512", .hmac(.sha512, Array(keys.ed25519.publicKey.der.suffix(32))))
    }
    table.add("ES256 where only RS256 is allowed", .algorithmNotAllowed) { attempt, _ in
        attempt.algorithms = [.rs256]
    }
    table.add("RS256 where only PS256 is allowed", .algorithmNotAllowed) { attempt, keys in
        attempt.algorithms = [.ps256]
        attempt.sign("rsa", "RS256", .key(keys.rsa, .rsaPKCS1(.sha256)))
    }
    table.add("ES256 at an issuer with a secret", .algorithmNotAllowed) { attempt, _ in
        attempt.issuerKeys = .secret(try SharedSecret(Keys.secret))
    }
    table.add("HS512 with a secret of 32 bytes", .algorithmNotAllowed) { attempt, _ in
        try attempt.share(Array(Keys.secret.prefix(32)), "HS512", .sha512)
    }
    table.add("HS256 with another secret", .badSignature) { attempt, _ in
        try attempt.share(Keys.secret, "HS256", .sha256)
        attempt.token.signer = .hmac(.sha256, Array(Keys.secret.reversed()))
    }
    table.add("HS256 cut by a byte", .badSignature) { attempt, _ in
        try attempt.share(Keys.secret, "HS256", .sha256)
        attempt.token.edit = { token in
            let parts = token.split(separator: ".")
            let code = Base64URL.decode(String(parts[2])) ?? []
            return "\(parts[0]).\(parts[1]).\(Base64URL.encode(Array(code.dropLast())))"
        }
    }
    table.add("HS384 said, HS256 made", .badSignature) { attempt, _ in
        try attempt.share(Keys.secret, "HS384", .sha256)
    }
    table.add("keys not fetched", .keysUnavailable) { attempt, _ in attempt.issuerKeys = .pending }
    table.add("kid absent, two keys fit", .missingKeyID) { attempt, keys in
        attempt.sign("rsa", "RS256", .key(keys.rsa, .rsaPKCS1(.sha256)))
        attempt.token.header["kid"] = .none
    }
    table.add("kid absent, no key fits", .wrongKeyType) { attempt, _ in
        attempt.token.header["kid"] = .none
        attempt.keys.removeFirst()
    }
    table.add("kid a number", .badKeyID) { attempt, _ in attempt.token.header["kid"] = 1 }
    table.add("kid empty", .badKeyID) { attempt, _ in attempt.token.header["kid"] = "" }
    table.add("kid huge", .badKeyID) { attempt, _ in
        attempt.token.header["kid"] = .string(String(repeating: "k", count: 257))
    }
    table.add("kid unknown", .unknownKey) { attempt, _ in attempt.token.header["kid"] = "none such" }
    table.add("kid a path", .unknownKey) { attempt, _ in attempt.token.header["kid"] = "../../dev/null" }
    table.add("kid in another case", .unknownKey) { attempt, _ in attempt.token.header["kid"] = "EC" }
    table.add("kid with SQL", .unknownKey) { attempt, _ in
        attempt.token.header["kid"] = "x' UNION SELECT 'key"
    }
    table.add("key no longer in the set", .unknownKey) { attempt, _ in attempt.keys.removeFirst() }
    table.add("RS256 with an EC key", .wrongKeyType) { attempt, _ in attempt.token.header["alg"] = "RS256" }
    table.add("ES256 with an RSA key", .wrongKeyType) { attempt, _ in attempt.token.header["kid"] = "rsa" }
    table.add("ES256 with P-384", .wrongKeyType) { attempt, keys in
        attempt.sign("ec384", "ES256", .key(keys.p384, .ecdsa(.sha256)))
    }
    table.add("ES512 with P-256", .wrongKeyType) { attempt, keys in
        attempt.sign("ec", "ES512", .key(keys.p256, .ecdsa(.sha512)))
    }
    table.add("EdDSA with an EC key", .wrongKeyType) { attempt, keys in
        attempt.sign("ec", "EdDSA", .key(keys.ed25519, .ed25519))
    }
    table.add("PS256 with a key for RS256", .keyAlgorithmMismatch) { attempt, keys in
        attempt.sign("rsa-rs256", "PS256", .key(keys.otherRSA, .rsaPSS(.sha256)))
    }
    table.add("RS512 with a key for RS256", .keyAlgorithmMismatch) { attempt, keys in
        attempt.sign("rsa-rs256", "RS512", .key(keys.otherRSA, .rsaPKCS1(.sha512)))
    }
    table.add("key with the algorithm of another kind", .keyAlgorithmMismatch) { attempt, _ in
        attempt.keys[0]["alg"] = "RS256"
    }
    table.add("key for encryption", .keyNotForSignatures) { attempt, _ in attempt.keys[0]["use"] = "enc" }
    table.add("key_ops without verify", .keyNotForSignatures) { attempt, _ in
        attempt.keys[0]["key_ops"] = ["encrypt"]
    }
    table.add("key_ops doubled", .keyNotForSignatures) { attempt, _ in
        attempt.keys[0]["key_ops"] = ["verify", "verify"]
    }
    table.add("RSA 1024", .weakKey) { attempt, keys in
        attempt.keys.append(try keys.weakRSA.jwk(["kid": "weak"]))
        attempt.sign("weak", "RS256", .key(keys.weakRSA, .rsaPKCS1(.sha256)))
    }
    table.add("RSA exponent 3", .weakKey) { attempt, _ in
        attempt.keys[3]["e"] = "Aw"
        attempt.token.header["kid"] = "rsa"
    }
    table.add("RSA exponent 1", .weakKey) { attempt, _ in
        attempt.keys[3]["e"] = "AQ"
        attempt.token.header["kid"] = "rsa"
    }
    table.add("RSA exponent even", .weakKey) { attempt, _ in
        attempt.keys[3]["e"] = "AQAC"
        attempt.token.header["kid"] = "rsa"
    }
    table.add("RSA exponent huge", .unsupportedKey) { attempt, _ in
        attempt.keys[3]["e"] = .string(Base64URL.encode([1] + [UInt8](repeating: 0, count: 8) + [1]))
        attempt.token.header["kid"] = "rsa"
    }
    table.add("RSA modulus of 16384 bits", .unsupportedKey) { attempt, _ in
        attempt.keys[3]["n"] = .string(Base64URL.encode([UInt8](repeating: 0xFF, count: 2048)))
        attempt.token.header["kid"] = "rsa"
    }
    table.add("RSA modulus even", .invalidKey) { attempt, keys in
        attempt.keys[3]["n"] = .string(Base64URL.encode(keys.modulus.dropLast() + [0xFE]))
        attempt.token.header["kid"] = "rsa"
    }
    table.add("RSA modulus with a leading zero", .invalidKey) { attempt, keys in
        attempt.keys[3]["n"] = .string(Base64URL.encode([0] + keys.modulus))
        attempt.token.header["kid"] = "rsa"
    }
    table.add("RSA modulus with small factors", .invalidKey) { attempt, _ in
        // 2^2048 - 1 is divisible by 3, 5, 17, …
        attempt.keys[3]["n"] = .string(Base64URL.encode([UInt8](repeating: 0xFF, count: 256)))
        attempt.token.header["kid"] = "rsa"
    }
    table.add("point off the curve", .invalidKey) { attempt, keys in
        attempt.keys[0]["y"] = try keys.otherP256.jwk()["y"]
    }
    table.add("point at zero", .invalidKey) { attempt, _ in
        let zero = JSONValue.string(Base64URL.encode([UInt8](repeating: 0, count: 32)))
        attempt.keys[0]["x"] = zero
        attempt.keys[0]["y"] = zero
    }
    table.add("coordinate with a leading zero", .invalidKey) { attempt, keys in
        let x = Base64URL.decode(try keys.p256.jwk()["x"]?.string ?? "") ?? []
        attempt.keys[0]["x"] = .string(Base64URL.encode([0] + x))
    }
    table.add("coordinates of P-384 on P-256", .invalidKey) { attempt, keys in
        attempt.keys[0]["x"] = try keys.p384.jwk()["x"]
    }
    table.add("Ed25519 of small order", .invalidKey) { attempt, keys in
        attempt.keys[5]["x"] = .string(Base64URL.encode([1] + [UInt8](repeating: 0, count: 31)))
        attempt.sign("ed", "EdDSA", .key(keys.ed25519, .ed25519))
    }
    table.add("Ed25519 of 31 bytes", .invalidKey) { attempt, _ in
        attempt.keys[5]["x"] = .string(Base64URL.encode([UInt8](repeating: 1, count: 31)))
        attempt.token.header["kid"] = "ed"
    }
    table.add("curve secp256k1", .unsupportedKey) { attempt, _ in attempt.keys[0]["crv"] = "secp256k1" }
    table.add("curve X25519", .unsupportedKey) { attempt, _ in
        attempt.keys[5]["crv"] = "X25519"
        attempt.token.header["kid"] = "ed"
    }
    table.add("kty unknown", .unsupportedKey) { attempt, _ in attempt.keys[0]["kty"] = "AKP" }
    table.add("key alg unknown", .unsupportedKey) { attempt, _ in attempt.keys[0]["alg"] = "ECDH-ES" }
    table.add("another key's signature", .badSignature) { attempt, keys in
        attempt.token.signer = .key(keys.otherP256, .ecdsa(.sha256))
    }
    table.add("an embedded jwk", .badSignature) { attempt, keys in
        attempt.token.header["jwk"] = .object(try keys.otherP256.jwk())
        attempt.token.signer = .key(keys.otherP256, .ecdsa(.sha256))
    }
    table.add("an embedded jwk and no kid", .badSignature) { attempt, keys in
        attempt.token.header["kid"] = .none
        attempt.token.header["jwk"] = .object(try keys.otherP256.jwk())
        attempt.token.signer = .key(keys.otherP256, .ecdsa(.sha256))
    }
    table.add("jku to another set", .unknownKey) { attempt, keys in
        attempt.token.header["jku"] = "https://attacker.example/jwks.json"
        attempt.sign("evil", "ES256", .key(keys.otherP256, .ecdsa(.sha256)))
    }
    table.add("x5u to another certificate", .badSignature) { attempt, keys in
        attempt.token.header["x5u"] = "https://attacker.example/cert.pem"
        attempt.token.signer = .key(keys.otherP256, .ecdsa(.sha256))
    }
    table.add("x5c with another certificate", .badSignature) { attempt, keys in
        attempt.token.header["x5c"] = ["MIIB"]
        attempt.token.signer = .key(keys.otherP256, .ecdsa(.sha256))
    }
    table.add("claims changed after signing", .badSignature) { attempt, _ in
        var other = attempt.token
        other.claims["sub"] = "root"
        let body = Base64URL.encode(JSONValue.object(other.claims).serialized())
        attempt.token.edit = { token in
            let parts = token.split(separator: ".")
            return "\(parts[0]).\(body).\(parts[2])"
        }
    }
    table.add("header changed after signing", .badSignature) { attempt, _ in
        let head = Base64URL.encode(Array(#"{"alg":"ES256","kid":"ec"}"#.utf8))
        attempt.token.edit = { token in
            let parts = token.split(separator: ".")
            return "\(head).\(parts[1]).\(parts[2])"
        }
    }
    table.add("signature in DER", .badSignature) { attempt, _ in
        attempt.token.signer = .bytes([0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01])
    }
    table.add("signature of zeros", .badSignature) { attempt, _ in
        attempt.token.signer = .bytes([UInt8](repeating: 0, count: 64))
    }
    table.add("signature cut by a byte", .badSignature) { attempt, keys in
        attempt.token.signer = .bytes([UInt8](repeating: 1, count: 63))
    }
    table.add("signature with a byte more", .badSignature) { attempt, _ in
        attempt.token.edit = { token in
            let parts = token.split(separator: ".")
            let bytes = Base64URL.decode(String(parts[2])) ?? []
            return "\(parts[0]).\(parts[1]).\(Base64URL.encode(bytes + [0]))"
        }
    }
    table.add("r and s exchanged", .badSignature) { attempt, _ in
        attempt.token.edit = { token in
            let parts = token.split(separator: ".")
            let bytes = Base64URL.decode(String(parts[2])) ?? []
            return "\(parts[0]).\(parts[1]).\(Base64URL.encode(Array(bytes.suffix(32) + bytes.prefix(32))))"
        }
    }
    table.add("RS256 signed as PS256", .badSignature) { attempt, keys in
        attempt.sign("rsa", "RS256", .key(keys.rsa, .rsaPSS(.sha256)))
    }
    table.add("PS256 signed as RS256", .badSignature) { attempt, keys in
        attempt.sign("rsa", "PS256", .key(keys.rsa, .rsaPKCS1(.sha256)))
    }
    table.add("RS256 with SHA-512 inside", .badSignature) { attempt, keys in
        attempt.sign("rsa", "RS256", .key(keys.rsa, .rsaPKCS1(.sha512)))
    }
    table.add("EdDSA by another key", .badSignature) { attempt, keys in
        attempt.sign("ed", "EdDSA", .key(keys.otherEd25519, .ed25519))
    }
    table.add("EdDSA with a malleable S", .badSignature) { attempt, keys in
        attempt.sign("ed", "EdDSA", .key(keys.ed25519, .ed25519))
        attempt.token.edit = { token in
            let parts = token.split(separator: ".")
            var bytes = Base64URL.decode(String(parts[2])) ?? []
            // S + L, L the group's order in little-endian.
            let order: [UInt8] = [
                0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE, 0x14,
            ]
            var carry = 0
            for index in 0..<32 {
                let add = index < 16 ? Int(order[index]) : index == 31 ? 0x10 : 0
                let sum = Int(bytes[32 + index]) + add + carry
                bytes[32 + index] = UInt8(sum & 0xFF)
                carry = sum >> 8
            }
            return "\(parts[0]).\(parts[1]).\(Base64URL.encode(bytes))"
        }
    }
    table.add(set: "two keys with one kid", .duplicateKeyID) { attempt, keys in
        attempt.keys.append(try keys.otherP256.jwk(["kid": "ec"]))
    }
    table.add(set: "a kid of a key that is left out", .duplicateKeyID) { attempt, keys in
        attempt.keys.append(try keys.otherP256.jwk(["kid": "ec", "use": "enc"]))
    }
    table.add(set: "a private EC key", .privateKeyInSet) { attempt, _ in attempt.keys[0]["d"] = "AAAA" }
    table.add(set: "a private RSA key", .privateKeyInSet) { attempt, _ in attempt.keys[3]["p"] = "AAAA" }
    table.add(set: "a symmetric key", .symmetricKeyInSet) { attempt, _ in
        attempt.keys.append(["kty": "oct", "kid": "secret", "k": "AAAA"])
    }
    table.add(set: "k in a public key", .privateKeyInSet) { attempt, _ in attempt.keys[0]["k"] = "AAAA" }
    table.add(set: "kty absent", .malformedKeySet) { attempt, _ in attempt.keys[0]["kty"] = .none }
    table.add(set: "x absent", .malformedKeySet) { attempt, _ in attempt.keys[0]["x"] = .none }
    table.add(set: "x padded", .malformedKeySet) { attempt, _ in attempt.keys[0]["x"] = "AAAA=" }
    table.add(set: "kid a number", .malformedKeySet) { attempt, _ in attempt.keys[0]["kid"] = 7 }
    table.add(set: "kid empty", .malformedKeySet) { attempt, _ in attempt.keys[0]["kid"] = "" }
    table.add(set: "key_ops a string", .malformedKeySet) { attempt, _ in attempt.keys[0]["key_ops"] = "verify" }
    table.add(set: "not JSON", .malformedKeySet) { attempt, _ in attempt.keySetText = "<html>" }
    table.add(set: "keys an object", .malformedKeySet) { attempt, _ in attempt.keySetText = #"{"keys":{}}"# }
    table.add(set: "a key without a set", .malformedKeySet) { attempt, keys in
        attempt.keySetText = JSONValue.object(try keys.p256.jwk()).text()
    }
    table.add(set: "keys twice", .malformedKeySet) { attempt, _ in
        attempt.keySetText = #"{"keys":[],"keys":[]}"#
    }
    table.add(set: "no keys", .noUsableKey) { attempt, _ in attempt.keys = [] }
    table.add(set: "keys for encryption only", .noUsableKey) { attempt, keys in
        attempt.keys = [try keys.p256.jwk(["use": "enc"])]
    }
    table.add(set: "more keys than a set may have", .keySetTooLarge) { attempt, keys in
        attempt.keys = try (0...100).map { try keys.p256.jwk(["kid": .string("k\($0)")]) }
    }
    table.add(set: "more bytes than a set may have", .keySetTooLarge) { attempt, _ in
        attempt.keySetText = #"{"keys":[]}"# + String(repeating: " ", count: KeySet.sizeLimit)
    }
}

extension Keys {
    /// The modulus of the RSA key.
    var modulus: [UInt8] {
        guard case .rsa(let modulus, _) = rsa.publicKey.parameters else { return [] }
        return modulus
    }
}

/// A public key as PEM: what an attacker has at hand.
enum PEM {
    static func encode(_ der: [UInt8]) -> [UInt8] {
        var lines = ["-----BEGIN PUBLIC KEY-----"]
        var text = Base64.encode(der)[...]
        while !text.isEmpty {
            lines.append(String(text.prefix(64)))
            text = text.dropFirst(64)
        }
        return Array((lines + ["-----END PUBLIC KEY-----", ""]).joined(separator: "\n").utf8)
    }
}
