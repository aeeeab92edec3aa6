import Foundation
import PKI

/// CRLs of the mesh's CA, as `openssl ca` makes them.
struct CRLMaker {
    /// Where the list in force is.
    let file: String
    private let directory: String
    private let settings: String

    /// Makes the first list, an empty one.
    init(_ mesh: TestMesh, name: String = "clients") throws {
        directory = mesh.directory + "/crl-\(name)"
        file = directory + "/list.crl"
        settings = directory + "/ca.cnf"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try mesh.authority.write(
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
    /// - Parameter ended: it lived for a second, which is over when it comes into place.
    func publish(ended: Bool = false) throws {
        let next = directory + "/next.crl"
        try openssl(["-gencrl", "-out", next] + (ended ? ["-crlsec", "1"] : []))
        if ended {
            let made = time(nil)
            try Deadline.until("the list has ended") { time(nil) > made + 2 }
        }
        rename(next, file)
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
