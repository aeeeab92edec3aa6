import Bytes
import Enrolment
import PKI
import Testing

@Suite struct JoinTokenTests {
    private let fingerprint = String(repeating: "ab", count: 32)

    private func make() throws -> JoinToken {
        try JoinToken(address: "ca.test:7443", fingerprint: fingerprint, node: "db-1")
    }

    @Test func readsWhatItWrites() throws {
        let token = try make()
        let read = try JoinToken(parsing: token.text())
        #expect(read.address == "ca.test:7443")
        #expect(read.fingerprint == fingerprint)
        #expect(read.node == "db-1")
        #expect(read.key.publicKey == token.key.publicKey)
        #expect(read.key.id == token.key.id)
        // Nothing but letters, digits, dot, hyphen and underscore: it survives every shell and every mail.
        #expect(token.text().allSatisfy { $0 > 0x2C && $0 < 0x7F })
    }

    @Test func blanksAroundItDoNotMatter() throws {
        let text = try make().text()
        let read = try JoinToken(parsing: Array("\n \t".utf8) + text + Array("\r\n".utf8))
        #expect(read.node == "db-1")
    }

    @Test func everyTokenHasAKeyOfItsOwn() throws {
        #expect(try make().key.publicKey != make().key.publicKey)
    }

    /// One in 64 would be taken for a flag by `mesh ca token withdraw ID`.
    @Test func noIDLooksLikeAFlag() {
        let first = Set((0..<1000).map { _ in TokenKey.generate().id.first })
        #expect(!first.contains("-") && first.contains("_"))
    }

    @Test func everyDamageIsNoticed() throws {
        let text = try make().text()
        for index in text.indices {
            var damaged = text
            damaged[index] = damaged[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(reason { try JoinToken(parsing: damaged) } == .badToken, "byte \(index)")
        }
        for count in 0..<text.count {
            #expect(reason { try JoinToken(parsing: Array(text[..<count])) } == .badToken, "\(count) bytes")
        }
        #expect(reason { try JoinToken(parsing: text + [UInt8(ascii: "A")]) } == .badToken)
        #expect(reason { try JoinToken(parsing: [UInt8](repeating: 0x41, count: 5000)) } == .badToken)
    }

    @Test func refusesNamesAndPlacesThatCannotBe() {
        #expect(throws: CertificateError.self) {
            try JoinToken(address: "ca.test:7443", fingerprint: fingerprint, node: "../db")
        }
        #expect(throws: CertificateError.self) { try JoinToken(address: "", fingerprint: fingerprint, node: "db-1") }
        #expect(throws: CertificateError.self) { try JoinToken(address: "ca:1", fingerprint: "ab", node: "db-1") }
    }

    @Test func aSignatureIsForOneConnectionAndOneRequest() throws {
        let token = try make()
        let exporter = [UInt8](repeating: 7, count: EnrolmentProof.exporterBytes)
        let signature = token.key.sign(EnrolmentProof.message(exporter: exporter, request: [1, 2, 3]))
        func isGood(_ exporter: [UInt8], _ request: [UInt8], by key: [UInt8]) -> Bool {
            TokenKey.verify(signature, over: EnrolmentProof.message(exporter: exporter, request: request), by: key)
        }
        #expect(isGood(exporter, [1, 2, 3], by: token.key.publicKey))
        #expect(!isGood([UInt8](repeating: 8, count: 32), [1, 2, 3], by: token.key.publicKey))
        #expect(!isGood(exporter, [1, 2, 4], by: token.key.publicKey))
        #expect(!isGood(exporter, [1, 2, 3], by: try make().key.publicKey))
        #expect(!TokenKey.verify([], over: [], by: token.key.publicKey))
        #expect(!TokenKey.verify(signature, over: [], by: []))
    }
}
