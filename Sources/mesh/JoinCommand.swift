import Agent
import Arguments
import Dispatch
import Enrolment
import EventLoop
import Glibc
import JSON
import PKI
import TLS

/// `mesh join`
enum JoinCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "join", "Get this host's first certificate from the mesh's CA, with a token.",
            discussion: """
                Makes a key here, which never leaves this host, and asks the CA that the token names. Writes NODE.key (mode \
                0600), NODE.crt, ca.crt and NODE.crt.ca.json, from which the agent knows where to renew. Asking again with \
                the same token and the key that was made is allowed until the token ends.
                """,
            flags: [
                FlagSpec(
                    "token-file", .path, placeholder: "FILE|-",
                    "The file (mode 0600) that holds the token, or - for standard input.", isRequired: true),
                FlagSpec(
                    "out", .path, placeholder: "DIR", "Where the files go; made if absent.",
                    default: CAFiles.defaultDirectory),
                FlagSpec(
                    switch: "force", "Replace a certificate that is there, and add to a ca.crt that is another mesh's."),
                FlagSpec(
                    "profile", .choice(TLSProfile.allCases.map(\.rawValue)),
                    "What may be negotiated with the CA, as tls.profile of the agent; TLS 1.3 in any case.",
                    default: TLSProfile.modern.rawValue),
                .json,
            ],
            examples: [
                .init("mesh join --token-file db-1.token", "certs/db-1.crt and certs/db-1.key"),
                .init(
                    "ssh ca mesh ca token create --node db-1 | mesh join --token-file -", "without a file in between"),
            ])
    ) { (context) throws(CommandFailure) in
        let invocation = context.invocation
        let terms = try terms(invocation.string("profile"))
        let token = try token(invocation.string("token-file") ?? "")
        let directory = CAFiles(invocation.string("out") ?? CAFiles.defaultDirectory)
        let base = "\(directory.directory)/\(token.node)"
        let files = EnrolmentFiles(
            pair: CredentialFiles(certificate: "\(base).crt", key: "\(base).key"), trust: directory.root.certificate)
        guard !CAFiles.reservedNames.contains(token.node) else {
            throw .usage("a node cannot be called \(token.node)", hint: "make a token for another name")
        }
        try directory.prepare()
        try CAFiles.refuseExisting([files.pair.certificate, files.pair.key], replace: invocation.isOn("force"))
        let credentials: Credentials
        let hadKey = SafeFile.exists(files.pair.nextKey)
        do {
            let place = try JoinPlace(
                files.trust, authorityKey: directory.root.key, isForced: invocation.isOn("force"))
            let key = try files.pair.pendingKey()
            let (joined, issued) = try ask(token, key, terms, place)
            credentials = joined
            try files.write(
                credentials, issued, address: token.address, token: token, addsRoots: place?.isAuthority != true)
        } catch let error as EnrolmentError {
            // A key that the CA has refused is of no use to anybody; one whose answer was lost may be.
            if !hadKey, !error.isAboutReach { unlink(files.pair.nextKey) }
            throw CommandFailure(error)
        } catch let error as CertificateError {
            throw CommandFailure(error)
        } catch {
            throw CommandFailure(.failure, "failed", "\(error)")
        }
        report(context, credentials.leaf, files)
        return .ok
    }

    /// What may be negotiated under a profile, whose provider must be there.
    private static func terms(_ name: String?) throws(CommandFailure) -> TLSTerms {
        let profile = name.flatMap { TLSProfile(rawValue: $0) } ?? .modern
        do throws(TLSError) {
            if profile == .fips { try FIPSProvider.activate() }
            return try profile.enrolmentTerms()
        } catch {
            throw CommandFailure(.failure, error.reason, error.message, hint: error.hint)
        }
    }

    private static func token(_ file: String) throws(CommandFailure) -> JoinToken {
        var text = file == "-" ? try TokenFiles.standardInput() : try TokenFiles.contents(file, isSecret: true)
        defer { text.withUnsafeMutableBytes { if let start = $0.baseAddress { explicit_bzero(start, $0.count) } } }
        do throws(EnrolmentError) {
            return try JoinToken(parsing: text)
        } catch {
            throw CommandFailure(error)
        }
    }

    /// Waits for the exchange, which runs on a loop of its own.
    private static func ask(
        _ token: JoinToken, _ key: PrivateKey, _ terms: TLSTerms, _ place: JoinPlace?
    ) throws -> (credentials: Credentials, issued: IssuedIdentity) {
        typealias Outcome = Result<(credentials: Credentials, issued: IssuedIdentity), EnrolmentError>
        let done = DispatchSemaphore(value: 0)
        let outcome = Locked<Outcome?>(nil)
        let box = Box(outcome)
        Task.detached {
            let result: Outcome
            do throws(EnrolmentError) {
                result = .success(try await EnrolmentClient.join(token, key: key, under: terms, into: place))
            } catch {
                result = .failure(error)
            }
            box.value.withLock { $0 = result }
            done.signal()
        }
        done.wait()
        guard let result = box.value.withLock({ $0 }) else {
            throw CommandFailure(.failure, "failed", "the exchange ended without a result")
        }
        return try result.get()
    }

    private final class Box: Sendable {
        let value: Locked<Result<(credentials: Credentials, issued: IssuedIdentity), EnrolmentError>?>

        init(_ value: consuming Locked<Result<(credentials: Credentials, issued: IssuedIdentity), EnrolmentError>?>) {
            self.value = value
        }
    }

    private static func report(_ context: CommandContext, _ leaf: Certificate, _ files: EnrolmentFiles) {
        let object: JSONValue = [
            "node": .string(leaf.commonName ?? ""), "spiffe": .string(leaf.spiffeURIs.first ?? ""),
            "certificate": .string(files.pair.certificate), "key": .string(files.pair.key),
            "trust": .string(files.trust), "notAfter": .string(UTCTime.text(leaf.notAfter)),
            "serial": .string(leaf.serialHex),
        ]
        context.print(object) {
            Output.line("Joined as \(leaf.spiffeURIs.first ?? ""), valid until \(UTCTime.text(leaf.notAfter)):")
            Output.fields(
                [
                    (files.pair.certificate, "its certificate, for identity.certificate; the agent renews it"),
                    (files.pair.key, "its key, for identity.key; it was made here and stays here"),
                    (files.trust, "the mesh's root, for trust.ca"),
                ], indent: 2)
        }
    }
}

extension CommandFailure {
    /// A failure of enrolment.
    init(_ error: EnrolmentError) {
        let exit: ExitCode =
            switch error.reason {
            case .badToken: .usage
            case _ where error.isAboutReach: .unreachable
            case .wrongCA, .notTheCA, .badCertificate: .certificate
            default: .denied
            }
        self.init(exit, error.code, error.message, hint: error.hint, showsReason: true)
    }
}
