import Bytes
import Foundation
import PKI
import TestLogs
import Testing

/// SCTs of a log that the test runs.
@Suite struct TransparencyTests {
    private let fixture: Fixture
    private let log: TestLog
    private let other: TestLog
    private let logs: TransparencyLogs

    init() throws {
        fixture = try Fixture.shared.get()
        (log, other) = (try TestLog("First"), try TestLog("Second"))
        logs = try TransparencyLogs(json: Array(TestLog.list(log, other).utf8))
    }

    private static let present = noon * 1000

    private func leaf(_ promises: (TestLog.Entry) throws -> [[UInt8]]) throws -> Certificate {
        try TestLog.issue(fixture.builder(), by: fixture.ca.signer, promises)
    }

    private func review(
        _ leaf: Certificate, minimum: Int = 1, _ logs: TransparencyLogs? = nil, more: [SignedTimestamp] = []
    ) -> TransparencyReview? {
        TransparencyPolicy(logs: logs ?? self.logs, minimum: minimum, mode: .require)
            .review(leaf.embeddedTimestamps + more, of: [leaf, fixture.ca.certificate], node: nil, now: noon)
    }

    @Test func embeddedTimestamps() throws {
        let leaf = try leaf { [try log.timestamp($0, at: Self.present - 5)] }
        let timestamps = leaf.embeddedTimestamps
        #expect(timestamps.map(\.source) == [.certificate])
        #expect(timestamps.map(\.time) == [Self.present - 5])
        #expect(timestamps.compactMap { logs.log(of: $0)?.name } == ["First"])
        #expect(logs.state(of: timestamps[0], about: leaf, issuer: fixture.ca.certificate, now: noon) == .good)
        #expect(logs.state(of: timestamps[0], about: leaf, issuer: nil, now: noon) == .noIssuer)
        #expect(review(leaf)?.error == nil && review(leaf)?.result == .enough)
        #expect(try fixture.leaf().embeddedTimestamps.isEmpty)
        // The certificate is as good as any other.
        let chain = try ChainVerifier(trust: fixture.trust).verify([leaf], expecting: expectation()).chain
        #expect(chain == [leaf, fixture.ca.certificate])
    }

    /// Everything that is wrong with SCTs, and the result that each gets.
    @Test func whatIsWrong() throws {
        let foreign = try TestLog("Unknown")
        let elsewhere = try TestLog.issue(fixture.builder("Elsewhere"), by: fixture.ca.signer) {
            [try log.timestamp($0, at: Self.present)]
        }
        let spoilt = { (entry: TestLog.Entry) in
            var bytes = try log.timestamp(entry, at: Self.present)
            bytes[bytes.count - 1] ^= 1
            return [bytes]
        }
        let cases: [(String, TransparencyReview.Result, CertificateReason, (TestLog.Entry) throws -> [[UInt8]])] = [
            ("no SCT in the list", .absent, .transparencyMissing, { _ in [] }),
            ("unknown log", .unknownLog, .transparencyUnproven, { [try foreign.timestamp($0, at: Self.present)] }),
            ("bad signature", .badSignature, .transparencyUnproven, spoilt),
            (
                "of another certificate", .badSignature, .transparencyUnproven,
                { _ in elsewhere.embeddedTimestamps.map(\.bytes) }
            ),
            (
                "of a certificate instead of a precertificate", .badSignature, .transparencyUnproven,
                { _ in [try log.timestamp(.certificate(try fixture.leaf().der), at: Self.present)] }
            ),
            (
                "of another issuer", .badSignature, .transparencyUnproven,
                { entry in
                    guard case .precertificate(let tbs, _) = entry else { return [] }
                    return [
                        try log.timestamp(
                            .precertificate(tbs: tbs, issuer: fixture.foreign.certificate.publicKey), at: Self.present)
                    ]
                }
            ),
            (
                "of the future", .future, .transparencyUnproven,
                { [try log.timestamp($0, at: Self.present + 600_000)] }
            ),
            (
                "of version 2", .unusable, .transparencyUnproven,
                { [try log.timestamp($0, at: Self.present, version: 1)] }
            ),
            (
                "an unknown log beside a bad signature", .badSignature, .transparencyUnproven,
                { try spoilt($0) + [foreign.timestamp($0, at: Self.present)] }
            ),
        ]
        for (name, result, reason, promises) in cases {
            let found = review(try leaf(promises))
            #expect(found?.result == result, "\(name)")
            #expect(found?.error?.reason == reason, "\(name)")
            #expect(found?.isRefused == true && found?.action == "refused", "\(name)")
        }
        // Clocks that differ a little.
        #expect(review(try leaf { [try log.timestamp($0, at: Self.present + 200_000)] })?.result == .enough)
    }

    /// Several promises of one log are one log's.
    @Test func howManyLogs() throws {
        let twice = try leaf { [try log.timestamp($0, at: Self.present), try log.timestamp($0, at: Self.present - 9)] }
        let both = try leaf { [try log.timestamp($0, at: Self.present), try other.timestamp($0, at: Self.present)] }
        #expect(review(twice, minimum: 1)?.result == .enough)
        #expect(review(twice, minimum: 2)?.result == .tooFew)
        #expect(review(both, minimum: 2)?.result == .enough)
        #expect(review(both, minimum: 3)?.error?.message.contains("2 of the 3 logs") == true)
    }

    @Test func statesOfLogs() throws {
        let leaf = try leaf { [try log.timestamp($0, at: Self.present - 1000)] }
        let cases: [(String, TransparencyReview.Result)] = [
            (#""retired": {"timestamp": "2027-01-15T08:00:00Z"}"#, .enough),
            (#""retired": {"timestamp": "2027-01-15T07:59:59Z"}"#, .retiredLog),
            (#""retired": {"timestamp": "2027-01-01T00:00:00.5Z"}"#, .retiredLog), (#""readonly": {}"#, .enough),
            (#""pending": {}"#, .unknownLog), (#""rejected": {}"#, .unknownLog),
        ]
        for (state, result) in cases {
            let list = try TransparencyLogs(json: Array(TestLog.list([(log, state), (other, nil)]).utf8))
            #expect(review(leaf, list)?.result == result, "\(state)")
        }
    }

    @Test func modes() throws {
        let bare = try fixture.leaf()
        let chain = [bare, fixture.ca.certificate]
        let policy = TransparencyPolicy(logs: logs, mode: .report, nodes: ["A": .require, "B": .off])
        #expect(policy.review([], of: chain, node: "A", now: noon)?.isRefused == true)
        #expect(policy.review([], of: chain, node: "B", now: noon) == nil)
        #expect(policy.review([], of: chain, node: "C", now: noon)?.action == "reported")
        #expect(policy.review([], of: chain, node: nil, now: noon)?.action == "reported")
        #expect(!TransparencyPolicy(logs: logs, mode: .off, nodes: ["B": .off]).isOn)
        #expect(TransparencyPolicy(logs: logs, mode: .off, nodes: ["B": .require]).isOn)
    }

    /// What is no list of logs, and the words for it.
    @Test func badLists() throws {
        let key = Base64.encode(log.key.publicKey.der)
        let weak = Base64.encode(try PrivateKey.generate(.ed25519).publicKey.der)
        func list(_ log: String) -> String { #"{"operators": [{"name": "X", "logs": [\#(log)]}]}"# }
        let cases: [(String, CertificateReason)] = [
            ("", .malformed), ("[]", .malformed), ("{}", .malformed), (#"{"operators": []}"#, .malformed),
            (list(""), .malformed), (list("{}"), .malformed), (list(#"{"key": "!"}"#), .malformed),
            (list(#"{"key": "AAAA"}"#), .malformed), (list(#"{"key": "\#(weak)"}"#), .unsupportedKey),
            (list(#"{"key": "\#(key)", "log_id": "AAAA"}"#), .malformed),
            (list(#"{"key": "\#(key)", "state": {"retired": {}}}"#), .malformed),
            (list(#"{"key": "\#(key)", "state": {"retired": {"timestamp": "soon"}}}"#), .malformed),
            (list(#"{"key": "\#(key)", "state": {"rejected": {}}}"#), .malformed),
        ]
        for (text, expected) in cases {
            #expect(reason { try TransparencyLogs(json: Array(text.utf8)) } == expected, "\(text)")
        }
        #expect(try TransparencyLogs(json: Array(list(#"{"key": "\#(key)"}"#).utf8)).logs.count == 1)
        let scratch = try Scratch()
        #expect(reason { try TransparencyLogs.load(file: scratch.file("absent")) } == .unreadableFile)
    }

    /// Lists that break off, and that say less or more than there is.
    @Test func malformedExtensions() throws {
        let good = TestLog.list(of: [try log.timestamp(.certificate([1]), at: 1)])
        let malformed: [[UInt8]] = [
            [], [0], [0, 5], Array(good.dropLast()), good + [0], [0xFF, 0xFF] + good.dropFirst(2),
        ]
        for bytes in malformed {
            let leaf = try fixture.leaf {
                $0.extraExtensions = [
                    RawExtension(
                        oid: "1.3.6.1.4.1.11129.2.4.2", isCritical: false,
                        value: [0x04, 0x82, UInt8(bytes.count >> 8), UInt8(bytes.count & 0xFF)] + bytes)
                ]
            }
            #expect(leaf.embeddedTimestamps.isEmpty, "\(bytes.prefix(8))")
            #expect(review(leaf)?.result == .absent)
        }
    }

    @Test func timesOfLists() {
        #expect(UTCTime.seconds("2027-01-15T08:00:00Z") == noon)
        #expect(
            UTCTime.seconds("1970-01-01T00:00:00Z") == 0 && UTCTime.seconds("2024-02-29T23:59:59.9Z") == 1_709_251_199)
        for seconds in stride(from: Int64(0), to: 4_000_000_000, by: 86_400 * 27 + 4711) {
            #expect(UTCTime.seconds(UTCTime.text(seconds)) == seconds)
        }
        for text in [
            "", "2027-01-15", "2027-01-15T08:00:00", "2027-13-15T08:00:00Z", "2027-01-15T24:00:00Z",
            "2027-01-15 08:00:00Z", "2027-01-15T08:00:00+01:00Z", "２027-01-15T08:00:00Z",
        ] {
            #expect(UTCTime.seconds(text) == nil, "\(text)")
        }
    }
}
