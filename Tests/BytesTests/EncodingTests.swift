import Bytes
import Foundation
import SeededRandom
import Testing

@Suite struct EncodingTests {
    @Test(
        arguments: [
            ("", []), ("00", [0]), ("ff", [255]),
            ("0123456789abcdef", [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF]),
        ] as [(String, [UInt8])])
    func hex(text: String, bytes: [UInt8]) {
        #expect(Hex.encode(bytes) == text)
        #expect(Hex.encode(bytes, uppercase: true) == text.uppercased())
        #expect(Hex.decode(text) == bytes)
        #expect(Hex.decode(text.uppercased()) == bytes)
    }

    @Test(arguments: [
        "0", "0g", "g0", "0x00", " 00", "00 ", "0 0", "00\n", "é", "@0", "/0", ":0", "`0", "G0", "00\0\0",
    ])
    func hexRefuses(text: String) {
        #expect(Hex.decode(text) == nil)
    }

    /// RFC 4648 section 10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func base64(plain: String, text: String) {
        let bytes = Array(plain.utf8)
        #expect(Base64.encode(bytes) == text)
        #expect(Base64.decode(text) == bytes)
        let bare = text.replacing("=", with: "")
        #expect(Base64URL.encode(bytes) == bare)
        #expect(Base64URL.decode(bare) == bytes)
    }

    @Test func alphabetsDiffer() {
        #expect(Base64.encode([0xFB, 0xFF]) == "+/8=")
        #expect(Base64URL.encode([0xFB, 0xFF]) == "-_8")
        #expect(Base64.decode("-_8=") == nil)
        #expect(Base64URL.decode("+/8") == nil)
    }

    @Test(arguments: [
        "Zg", "Zg=", "Zg===", "Zg== ", " Zg==", "Zg\n==", "Zm9v\n", "Z", "Z===", "=", "==", "====", "Zm=v", "Zg==Zg==",
        "Zh==", "Zi==", "Zo==", "Zv==", "Zm9=", "Zm/=", "Zm:v", "Zm9vé", "Zm8=====", "AA=A", "\0\0\0\0",
    ])
    func base64Refuses(text: String) {
        #expect(Base64.decode(text) == nil)
    }

    @Test(arguments: ["Zg==", "Zg=", "Zm8=", "Z", "Zm9vZ", "Zh", "Zm9", "Zg ", "Zm9v\n", "=", "Zm9v=", "Zm 9", "é"])
    func base64URLRefuses(text: String) {
        #expect(Base64URL.decode(text) == nil)
    }

    @Test(arguments: 0..<40)
    func agreesWithFoundation(length: Int) {
        var random = SeededRandom(UInt64(length))
        for _ in 0..<20 {
            let bytes = random.bytes(length)
            let text = Data(bytes).base64EncodedString()
            #expect(Base64.encode(bytes) == text)
            #expect(Base64.decode(text) == bytes)
            let bare = text.replacing("=", with: "").replacing("+", with: "-").replacing("/", with: "_")
            #expect(Base64URL.encode(bytes) == bare)
            #expect(Base64URL.decode(bare) == bytes)
            let hex = bytes.map { String(format: "%02x", $0) }.joined()
            #expect(Hex.encode(bytes) == hex)
            #expect(Hex.decode(hex) == bytes)
        }
    }

    /// Each byte string has exactly one text: whatever is accepted is what encoding gives.
    @Test(arguments: 0..<10)
    func acceptedTextIsCanonical(seed: UInt64) {
        var random = SeededRandom(seed)
        let alphabet = Array("ABQgwxyz0159+/-_= ".utf8)
        for _ in 0..<2000 {
            let length = Int.random(in: 0...9, using: &random)
            let text = String(
                decoding: (0..<length).map { _ in alphabet.randomElement(using: &random) ?? 0 }, as: UTF8.self)
            if let bytes = Base64.decode(text) { #expect(Base64.encode(bytes) == text) }
            if let bytes = Base64URL.decode(text) { #expect(Base64URL.encode(bytes) == text) }
        }
    }

    @Test func constantTimeEquality() {
        #expect(ConstantTime.equal([], []))
        #expect(ConstantTime.equal([1, 2, 3], [1, 2, 3]))
        #expect(!ConstantTime.equal([1, 2, 3], [1, 2, 4]))
        #expect(!ConstantTime.equal([1, 2, 3], [0, 2, 3]))
        #expect(!ConstantTime.equal([1, 2, 3], [1, 2]))
        #expect(!ConstantTime.equal([1], [0x81]))
        #expect(!ConstantTime.equal([0x10, 0x01], [0x01, 0x10]))
        #expect(ConstantTime.equal("secret", "secret"))
        #expect(!ConstantTime.equal("secret", "secreT"))
    }
}
