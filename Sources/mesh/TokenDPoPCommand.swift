import Arguments
import EventLoop
import JOSE
import JSON
import PKI

/// `mesh token dpop`
enum TokenDPoPCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "dpop", "Make a DPoP key, or a proof for one request (RFC 9449).",
            discussion: """
                With --new a key is made and its thumbprint printed, to which tokens are bound. Without it, a proof for \
                --method and --url is printed, to be sent in the field DPoP beside the token. A proof counts once, for \
                about a minute. An answer 401 with the field DPoP-Nonce wants a proof with --nonce.
                """,
            flags: [
                FlagSpec("key", .path, "The key's file (PEM, mode 0600).", isRequired: true),
                FlagSpec(
                    switch: "new", "Make the key; a file that exists is left alone.", conflicts: ["method", "url"]),
                FlagSpec("algorithm", .choice(["p256", "ed25519"]), "Kind of key for --new.", default: "p256"),
                FlagSpec("method", .string, placeholder: "METHOD", "The request's method.", default: "GET"),
                FlagSpec("url", .string, placeholder: "URL", "The request's URL."),
                FlagSpec("token", .path, "File with the token that goes along; - for standard input."),
                FlagSpec("nonce", .string, placeholder: "NONCE", "The last DPoP-Nonce of the server."), .json,
            ],
            examples: [
                .init("mesh token dpop --new --key dpop.key", "make a key"),
                .init(
                    "mesh token dpop --key dpop.key --url https://edge.example/api --token token", "a proof for a GET"),
            ])
    ) { (context) throws(CommandFailure) in
        let path = context.invocation.string("key") ?? ""
        if context.invocation.isOn("new") { return try make(context, path) }
        guard let url = context.invocation.string("url") else {
            throw .usage("--url is missing", hint: "give the request's URL, or make a key with --new")
        }
        let token =
            if let file = context.invocation.string("token") { try TokenFiles.token(file) } else { String?.none }
        let key = try key(path)
        let proof: String
        do throws(JOSEError) {
            proof = try key.proof(
                method: context.invocation.string("method") ?? "GET", url: url, token: token,
                nonce: context.invocation.string("nonce"), at: Clock.unixSeconds(),
                random: TokenFiles.random(DPoPKey.randomBytes))
        } catch {
            throw CommandFailure(error)
        }
        context.print(["proof": .string(proof), "thumbprint": .string(key.publicKey.thumbprint)]) { Output.line(proof) }
        return .ok
    }

    /// The key of a file.
    static func key(_ path: String) throws(CommandFailure) -> DPoPKey {
        guard TokenFiles.exists(path) else {
            throw .missing(
                path,
                hint: "make a key: mesh token dpop --new --key \(ShellWord.quoted(path))")
        }
        let key: PrivateKey
        do throws(CertificateError) {
            key = try PrivateKey.load(file: path)
        } catch {
            throw CommandFailure(error)
        }
        do throws(JOSEError) {
            return try DPoPKey(key)
        } catch {
            throw CommandFailure(error, file: path)
        }
    }

    private static func make(_ context: CommandContext, _ path: String) throws(CommandFailure) -> ExitCode {
        try CAFiles.refuseExisting(
            [path], replace: false, hint: "leave --new out to use this key, or name another file with --key")
        do throws(CertificateError) {
            let algorithm = KeyAlgorithm(rawValue: context.invocation.string("algorithm") ?? "") ?? .p256
            try PrivateKey.generate(algorithm).write(to: path, replace: false)
        } catch {
            throw CommandFailure(error)
        }
        let thumbprint = try key(path).publicKey.thumbprint
        context.print(["key": .string(path), "thumbprint": .string(thumbprint)]) {
            Output.line("Made \(path); tokens are bound to it by cnf.jkt \(thumbprint)")
            Output.line("Next: mesh token issue --dpop-key \(ShellWord.quoted(path)) --subject NAME --audience EDGE")
        }
        return .ok
    }
}
