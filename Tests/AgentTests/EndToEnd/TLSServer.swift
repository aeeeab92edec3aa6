import Foundation
import PKI

/// A TLS server in Python: somebody else's TLS stack driver, and the services that people have.
///
/// Echoes; says what it knows of the client when it is sent a line `who`; after the client's end it says `bye` and ends in
/// order, or without close_notify where told so.
final class TLSServer {
    let port: Int
    private let child: Child

    private static let script = """
        import socket, ssl, sys, threading
        host, certificate, key, ca, version, ending = sys.argv[1:7]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        if ca:
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED
        if version == "1.2":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        names = {}
        def named(connection, name, context):
            names[connection] = name
        context.sni_callback = named
        def serve(raw):
            try:
                with context.wrap_socket(raw, server_side=True) as connection:
                    while True:
                        data = connection.recv(65536)
                        if not data:
                            break
                        if data == b"who\\n":
                            certificate = connection.getpeercert() or {}
                            subject = dict(pair[0] for pair in certificate.get("subject", ()))
                            data = "{} {} {}\\n".format(
                                subject.get("commonName"), names.get(connection), connection.version()).encode()
                        connection.sendall(data)
                    if ending != "none":
                        connection.sendall(b"bye")
                    if ending == "clean":
                        connection.unwrap()
            except (OSError, ssl.SSLError) as error:
                print("error", error, flush=True)
        listener = socket.create_server((host, 0))
        print("port", listener.getsockname()[1], flush=True)
        while True:
            raw, _ = listener.accept()
            threading.Thread(target=serve, args=(raw,), daemon=True).start()
        """

    /// What becomes of the server's direction.
    enum Ending: String {
        case clean, cut, none
    }

    init(
        _ mesh: TestMesh, host: String = "127.0.0.1", certificate: DevelopmentCertificate.Files,
        clientCA: String = "", version: String = "1.3", ending: Ending = .clean
    ) throws {
        child = try Child(
            [
                "python3", "-c", Self.script, host, certificate.certificate, certificate.key, clientCA, version,
                ending.rawValue,
            ], output: mesh.directory + "/tls-server-\(UUID().uuidString).log")
        let child = child
        port = try Deadline.wait("the TLS server listens: \(child.output)") {
            child.output.split(separator: "\n").first { $0.hasPrefix("port ") }.flatMap { Int($0.dropFirst(5)) }
        }
        mesh.whenEnded { child.kill() }
    }

    var output: String { child.output }
}

extension TestMesh {
    /// A certificate for a server that is no node, in files.
    func serverCertificate(
        _ name: String, dns: [String] = [], ip: [String] = [], now: Int64 = Int64(time(nil))
    ) throws -> DevelopmentCertificate.Files {
        let files = DevelopmentCertificate.Files(directory: directory, name: "server-\(UUID().uuidString.prefix(8))")
        try DevelopmentCertificate.make(name: name, dnsNames: dns, ipAddresses: ip, now: now).write(files)
        return files
    }
}
