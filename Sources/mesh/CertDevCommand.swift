import Arguments
import EventLoop
import Glibc
import JSON
import PKI

/// `mesh cert dev`
enum CertDevCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "dev", "Make a server's certificate for development, and the CA to trust it by.",
            discussion: """
                Writes NAME.crt, NAME.key (mode 0600) and NAME-ca.crt. The CA signs this one certificate, its key is \
                not kept: who trusts it trusts this server only. IP addresses become IP names, which is where clients \
                look for them. Without --dns and --ip the certificate is also for localhost, 127.0.0.1 and ::1. Not \
                for production.
                """,
            flags: [
                FlagSpec(
                    "name", .string, placeholder: "NAME", "The server's name; a host name or IP address counts as one.",
                    default: "localhost"),
                FlagSpec("dns", .string, placeholder: "NAME", "A DNS name that it is valid for.", isRepeated: true),
                FlagSpec(
                    "ip", .string, placeholder: "ADDRESS", "An IP address that it is valid for.", isRepeated: true),
                FlagSpec(
                    "out", .path, placeholder: "DIR", "Where the files go; made if absent.",
                    default: CAFiles.defaultDirectory),
                FlagSpec("days", .integer(1...398), "How long it is valid.", default: "30"),
                .json,
            ],
            examples: [
                .init("mesh cert dev", "certs/localhost.crt for this host alone"),
                .init(
                    "mesh cert dev --name shop.test --ip 192.0.2.7", "for https://shop.test and https://192.0.2.7"),
            ])
    ) { (context) throws(CommandFailure) in
        let invocation = context.invocation
        let name = invocation.string("name") ?? "localhost"
        guard !name.isEmpty, !name.contains("/"), !name.hasPrefix(".") else {
            throw .usage("\"\(name)\" cannot be part of a file's name", hint: "choose a name without slashes")
        }
        let directory = CAFiles(invocation.string("out") ?? CAFiles.defaultDirectory)
        // An asterisk in a file's name is asking for trouble in a shell.
        let files = DevelopmentCertificate.Files(
            directory: directory.directory, name: name.replacing("*", with: "_").replacing(":", with: "_"))
        let (dns, addresses) = (invocation.strings("dns"), invocation.strings("ip"))
        let isForThisHost = dns.isEmpty && addresses.isEmpty
        do throws(CertificateError) {
            if let there = files.all.first(where: { access($0, F_OK) == 0 }) {
                throw CertificateError(
                    .unwritableFile, "exists already; nothing was written",
                    hint: "remove it, or choose another --name or --out", file: there)
            }
            let made = try DevelopmentCertificate.make(
                name: name, dnsNames: isForThisHost ? ["localhost"] : dns,
                ipAddresses: isForThisHost ? ["127.0.0.1", "::1"] : addresses,
                validity: Int64(invocation.integer("days") ?? 30) * 86_400, now: Clock.unixSeconds())
            try prepare(directory)
            try made.write(files)
            report(context, made, files)
        } catch {
            throw CommandFailure(error)
        }
        return .ok
    }

    private static func prepare(_ directory: CAFiles) throws(CertificateError) {
        do throws(CommandFailure) {
            try directory.prepare()
        } catch {
            throw CertificateError(.unwritableFile, error.what, hint: error.hint ?? "")
        }
    }

    private static func report(
        _ context: CommandContext, _ made: DevelopmentCertificate, _ files: DevelopmentCertificate.Files
    ) {
        let leaf = made.credentials.leaf
        context.print([
            "certificate": .string(files.certificate), "key": .string(files.key), "ca": .string(files.authority),
            "dnsNames": JSONValue(leaf.dnsNames), "ipAddresses": JSONValue(leaf.ipAddresses),
            "notAfter": .string(UTCTime.text(leaf.notAfter)),
            "fingerprintSHA256": .string(leaf.fingerprintSHA256),
        ]) {
            let names = (leaf.dnsNames + leaf.ipAddresses).joined(separator: ", ")
            Output.line("Made a certificate for \(names), valid until \(UTCTime.text(leaf.notAfter)):")
            Output.fields(
                [
                    (files.certificate, "the certificate, for edge.listeners[].certificates"),
                    (files.key, "its key; keep it secret"),
                    (files.authority, "what clients trust: curl --cacert, mesh connect --ca-file"),
                ], indent: 2)
        }
        Output.note("warning: for development only; nobody else vouches for it")
    }
}
