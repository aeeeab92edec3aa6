import Foundation

/// A CA of the `openssl` program, with the index from which `openssl ocsp` answers.
public final class OCSPRegister: Sendable {
    /// A certificate and its key, in PEM files.
    public struct Issued: Sendable {
        /// The certificate.
        public let certificate: String
        /// Its key.
        public let key: String

        /// Names the files.
        public init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// What the index says of a certificate.
    public enum State: Sendable {
        /// It is good.
        case good
        /// It is revoked, for a reason as OpenSSL writes it.
        case revoked(String)
    }

    /// Everything is in here.
    public let directory: String
    /// The CA itself.
    public let authority: Issued
    /// The index of `openssl ca`.
    public var index: String { directory + "/index.txt" }

    /// Makes a CA in a new directory below `parent`.
    ///
    /// - Parameter name: the CN of the CA, which is also the directory's name.
    public init(in parent: String, name: String, under above: OCSPRegister? = nil) throws {
        directory = parent + "/" + name.replacingOccurrences(of: " ", with: "-") + "-" + UUID().uuidString.prefix(8)
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try "[req]\ndistinguished_name = dn\n[dn]\n".write(
            toFile: directory + "/empty.cnf", atomically: true, encoding: .utf8)
        authority = Issued(certificate: directory + "/ca.crt", key: directory + "/ca.key")
        try Self.makeKey(authority.key)
        let signing = above.map { ["-CA", $0.authority.certificate, "-CAkey", $0.authority.key] } ?? []
        try Self.openssl(
            [
                "req", "-x509", "-new", "-config", directory + "/empty.cnf", "-key", authority.key, "-subj",
                "/CN=\(name)",
                "-days", "30", "-out", authority.certificate, "-addext", "subjectKeyIdentifier=hash", "-addext",
                "basicConstraints=critical,CA:TRUE", "-addext",
                "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
            ] + signing)
        try "".write(toFile: index, atomically: true, encoding: .utf8)
    }

    /// Takes over a CA that is there; its files are not touched.
    public init(in directory: String, authority: Issued) throws {
        self.directory = directory
        self.authority = authority
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try "[req]\ndistinguished_name = dn\n[dn]\n".write(
            toFile: directory + "/empty.cnf", atomically: true, encoding: .utf8)
        try "".write(toFile: index, atomically: true, encoding: .utf8)
    }

    /// Runs `openssl` to its end; failing is an error.
    @discardableResult
    public static func openssl(_ arguments: [String]) throws -> String {
        let program = try runProgram("openssl", arguments)
        guard program.status == 0 else { throw ProgramNotStarted(description: "\(arguments): \(program.text)") }
        return program.text
    }

    private static func makeKey(_ path: String) throws {
        try openssl(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path])
        chmod(path, 0o600)
    }

    /// Issues a certificate, which the index does not know yet.
    ///
    /// - Parameters:
    ///   - extensions: as `openssl req -addext` takes them.
    ///   - options: further arguments of `openssl req`.
    public func issue(_ name: String, extensions: [String] = [], options: [String] = ["-days", "20"]) throws -> Issued {
        let issued = Issued(
            certificate: "\(directory)/\(name)-\(UUID().uuidString.prefix(8)).crt", key: "\(directory)/\(name).key")
        if !FileManager.default.fileExists(atPath: issued.key) { try Self.makeKey(issued.key) }
        try Self.openssl(
            [
                "req", "-x509", "-new", "-config", directory + "/empty.cnf", "-key", issued.key, "-subj", "/CN=\(name)",
                "-CA", authority.certificate, "-CAkey", authority.key, "-out", issued.certificate, "-addext",
                "basicConstraints=critical,CA:FALSE", "-addext", "authorityKeyIdentifier=keyid:always",
            ] + extensions.flatMap { ["-addext", $0] } + options)
        return issued
    }

    /// Writes into the index what is said of a certificate from now on.
    public func set(_ certificate: String, _ state: State) throws {
        let text = try Self.openssl(["x509", "-in", certificate, "-noout", "-serial"])
        let serial = text.trimmingCharacters(in: .whitespacesAndNewlines).replacingOccurrences(of: "serial=", with: "")
        let lines = try String(contentsOfFile: index, encoding: .utf8).split(separator: "\n").filter {
            $0.split(separator: "\t", omittingEmptySubsequences: false)[3] != serial
        }
        let line =
            switch state {
            case .good: "V\t400101000000Z\t\t\(serial)\tunknown\t/CN=\(serial)"
            case .revoked(let reason):
                "R\t400101000000Z\t260101000000Z,\(reason)\t\(serial)\tunknown\t/CN=\(serial)"
            }
        try (lines.map(String.init) + [line]).map { $0 + "\n" }.joined()
            .write(toFile: index, atomically: true, encoding: .utf8)
    }

    /// What `openssl ocsp` answers to a request, both in DER.
    ///
    /// - Parameters:
    ///   - signer: who signs; the CA itself where nil.
    ///   - options: further arguments; when the next update is, for example.
    public func respond(
        to request: [UInt8], signer: Issued? = nil, options: [String] = ["-ndays", "1"]
    ) throws -> [UInt8] {
        let name = "\(directory)/\(UUID().uuidString)"
        try Data(request).write(to: URL(fileURLWithPath: name + ".req"))
        let signer = signer ?? authority
        try Self.openssl(
            [
                "ocsp", "-index", index, "-CA", authority.certificate, "-rsigner", signer.certificate, "-rkey",
                signer.key,
                "-reqin", name + ".req", "-respout", name + ".resp",
            ] + options)
        return [UInt8](try Data(contentsOf: URL(fileURLWithPath: name + ".resp")))
    }
}
