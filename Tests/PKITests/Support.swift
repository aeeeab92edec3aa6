import Foundation
import PKI
import TestPrograms
import Testing

/// The fixed time of tests that do not run other programs: 2027-01-15T08:00:00Z.
let noon: Int64 = 1_800_000_000
let day: Int64 = 86_400
let domain = "mesh.test"

/// What the tests share: making a CA and keys costs milliseconds each.
struct Fixture: Sendable {
    let ca: CertificateAuthority
    let intermediate: CertificateAuthority
    /// Another CA, of the same name and trust domain.
    let foreign: CertificateAuthority
    let key: PrivateKey
    let trust: TrustBundle

    static let shared = Result { try Fixture() }

    private init() throws {
        ca = try CertificateAuthority.createRoot(name: "Test root", trustDomain: domain, now: noon)
        intermediate = try ca.createIntermediate(name: "Test intermediate", now: noon)
        foreign = try CertificateAuthority.createRoot(name: "Test root", trustDomain: domain, now: noon)
        key = try PrivateKey.generate()
        trust = try TrustBundle(roots: [ca.certificate])
    }

    /// A good leaf for `node`, to be spoilt by the caller.
    func builder(_ node: String = "ACL") -> CertificateBuilder {
        var builder = CertificateBuilder(
            subject: [.commonName(node)], publicKey: key.publicKey, notBefore: noon - day, notAfter: noon + 30 * day)
        builder.alternativeNames = [.uri("spiffe://\(domain)/node/\(node)")]
        return builder
    }

    func leaf(_ change: (inout CertificateBuilder) throws -> Void = { _ in }) throws -> Certificate {
        var builder = builder()
        try change(&builder)
        return try builder.build(signedBy: ca.signer)
    }
}

func expectation(
    _ role: PeerVerification.Role = .serverOfLink, node: String? = nil, host: String? = nil,
    legacy: Bool = false, domains: Set<String>? = [domain], now: Int64 = noon
) -> PeerVerification.Expectation {
    PeerVerification.Expectation(
        role: role, node: node, hostName: host, trustDomains: domains, legacyCertificates: legacy, now: now)
}

/// The reason of the error that the body throws; nil when it throws none.
func reason<Value>(_ body: () throws -> Value) -> CertificateReason? {
    do {
        _ = try body()
        return nil
    } catch let error as CertificateError {
        return error.reason
    } catch {
        Issue.record("not a CertificateError: \(error)")
        return nil
    }
}

/// A directory that is removed when the object goes.
final class Scratch {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "pki-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    func write(_ name: String, _ text: String, mode: Int = 0o600) throws -> String {
        try write(name, Array(text.utf8), mode: mode)
    }

    func write(_ name: String, _ bytes: [UInt8], mode: Int = 0o600) throws -> String {
        let path = file(name)
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        return path
    }

    func mode(_ name: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: file(name))
        return (attributes[.posixPermissions] as? NSNumber)?.intValue ?? -1
    }

    /// Runs the `openssl` program in this directory.
    @discardableResult
    func openssl(_ arguments: String..., expecting status: Int32 = 0) throws -> String {
        try run(arguments, expecting: status)
    }

    /// Runs the `openssl` program in this directory.
    func run(_ arguments: [String], expecting status: Int32 = 0) throws -> String {
        let program = try runProgram("openssl", arguments, in: path)
        #expect(program.status == status, "openssl \(arguments.joined(separator: " ")): \(program.text)")
        return program.text
    }
}
