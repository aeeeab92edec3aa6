import Foundation
import PKI

/// What a test changes while a server of its own uses it.
final class Setting<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var current: Value

    init(_ value: Value) { current = value }

    var value: Value {
        get { lock.withLock { current } }
        set { lock.withLock { current = newValue } }
    }
}

/// A web server that has CRLs at `/mesh.crl`.
struct CRLServer {
    /// Where to fetch them.
    let url: String
    /// The file that it sends; nil for an end of the connection without an answer.
    let file: Setting<String?>

    init(_ mesh: TestMesh, _ first: String?) throws {
        let file = Setting(first)
        let server = try mesh.service { wire in
            var reader = WireReader(wire)
            while let head = try reader.head(), head.hasPrefix("GET /mesh.crl "), let name = file.value {
                let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: name)))
                try wire.send(Array("HTTP/1.1 200 OK\r\nContent-Length: \(bytes.count)\r\n\r\n".utf8) + bytes)
            }
            wire.close()
        }
        url = "http://\(server.address)/mesh.crl"
        self.file = file
    }
}

/// CRLs of the mesh's CA, as `openssl ca` makes them.
struct CRLMaker {
    /// Where the list in force is.
    let file: String
    private let directory: String
    private let settings: String

    /// Makes the first list, an empty one.
    ///
    /// - Parameter authority: whose it is; nil for the mesh's CA.
    init(_ mesh: TestMesh, name: String = "mesh", of authority: CertificateAuthority? = nil) throws {
        directory = mesh.directory + "/crl-\(name)"
        file = directory + "/list.crl"
        settings = directory + "/ca.cnf"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try (authority ?? mesh.authority).write(
            certificateFile: directory + "/ca.crt", keyFile: directory + "/ca.key", passphrase: nil)
        try "".write(toFile: directory + "/index.txt", atomically: true, encoding: .utf8)
        try "01".write(toFile: directory + "/crlnumber", atomically: true, encoding: .utf8)
        try """
        [ca]
        default_ca = own
        [own]
        database = \(directory)/index.txt
        crlnumber = \(directory)/crlnumber
        certificate = \(directory)/ca.crt
        private_key = \(directory)/ca.key
        default_md = sha256
        default_crl_days = 30
        [delta]
        2.5.29.27 = critical,ASN1:INTEGER:1
        [nodes]
        issuingDistributionPoint = critical,@scope
        [scope]
        onlyuser = TRUE
        """.write(toFile: settings, atomically: true, encoding: .utf8)
        try publish()
    }

    private func openssl(_ arguments: [String]) throws {
        let (status, output) = try runProgram(["openssl", "ca", "-config", settings] + arguments)
        try demand(status == 0, output)
    }

    /// Withdraws the certificate in a file; the next list has it.
    func revoke(_ certificate: String) throws { try openssl(["-revoke", certificate]) }

    /// Makes the next list and puts it in place in one step.
    ///
    /// - Parameters:
    ///   - options: of `openssl ca`.
    ///   - ended: it lived for a second, which is over when it comes into place.
    func publish(_ options: [String] = [], ended: Bool = false) throws {
        let next = directory + "/next.crl"
        try openssl(["-gencrl", "-out", next] + options + (ended ? ["-crlsec", "1"] : []))
        if ended {
            let made = time(nil)
            try Deadline.until("the list has ended") { time(nil) > made + 2 }
        }
        rename(next, file)
    }

    /// A copy of the list in force, which stays as it is.
    func copy() throws -> String {
        let copy = directory + "/\(UUID().uuidString).crl"
        try FileManager.default.copyItem(atPath: file, toPath: copy)
        return copy
    }
}

extension TestMesh {
    /// Writes a secret as secrets must be written.
    func writeSecret(_ bytes: [UInt8], to file: String, mode: Int = 0o600) throws {
        guard
            FileManager.default.createFile(
                atPath: file, contents: Data(bytes), attributes: [.posixPermissions: mode])
        else { throw Failure("cannot write \(file)") }
        // The mode of a file that was there is not touched by that.
        chmod(file, mode_t(mode))
    }
}
