import Arguments
import Documents
import HTTP
import JSON
import PKI

/// `mesh operator list`
enum OperatorListCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "list", "List the operators.",
            discussion: """
                Those of a list file; without FILE those of the list that is in force at this host's agent, or where none runs \
                those of the CA's files here. Where certs/ca.crt is here, or with --ca, the agent's list is verified.
                """, flags: [TrustAnchor.flag, .json],
            positionals: [
                PositionalSpec("FILE", "The list.", .path, isOptional: true)
            ])
    ) { (context) throws(CommandFailure) in
        let (document, list) = try read(context)
        context.print([
            "trustDomain": .string(document.trustDomain), "version": JSONValue(document.version),
            "issued": .string(UTCTime.text(document.issued)),
            "operators": .array(
                list.members.map { ["name": .string($0.name), "key": .string("spki-sha256:" + $0.key.spkiSHA256)] }),
        ]) {
            var table = TextTable([.init("OPERATOR"), .init("KEY")])
            for member in list.members { table.append([member.name, "spki-sha256:" + member.key.spkiSHA256]) }
            Output.table(table, empty: "the list names nobody")
            Output.line("version \(document.version) of \(UTCTime.text(document.issued)), for \(document.trustDomain)")
        }
        return .ok
    }
}

extension OperatorListCommand {
    private static func read(_ context: CommandContext) throws(CommandFailure) -> (SignedDocument, OperatorList) {
        if let path = context.invocation.positional("FILE") { return try OperatorFiles.read(path) }
        let files = CAFiles(CAFiles.defaultDirectory).operators
        let client: ControlClient
        do throws(CommandFailure) {
            client = try ControlClient(context)
        } catch {
            // Nobody to ask; what is here counts.
            guard error.exit == .unreachable, SafeFile.exists(files) else { throw error }
            let (document, list) = try OperatorFiles.read(files)
            return (document, list)
        }
        guard let document = try ShownDocument(.operators, context, client, onlyShows: true).document else {
            throw CommandFailure(
                .notFound, "no_such_document", "the mesh has no list of operators",
                hint: "apply one: mesh operator apply operators.json")
        }
        do throws(DocumentError) {
            return (document, try OperatorList(payload: document.payload))
        } catch {
            throw CommandFailure(
                .failure, "bad_document", "the agent's list of operators cannot be read: \(error)",
                hint: "is the agent of another version than mesh?")
        }
    }
}

/// What `add` and `remove` have in common.
private enum OperatorChange {
    static let flags: [FlagSpec] = [
        FlagSpec("ca-dir", .path, placeholder: "DIR", "Where the CA's files are.", default: CAFiles.defaultDirectory),
        FlagSpec("passphrase-file", .path, "The first line of this file (mode 0600) is the passphrase of the keys."),
        .json,
    ]

    /// Loads the root and its list, and writes the list as `change` makes it, in the next version. A list that is not the newest is
    /// refused before.
    static func make(
        _ context: CommandContext,
        _ change: (inout OperatorList, CAFiles, Passphrase?) throws(CommandFailure) -> Void
    ) throws(CommandFailure) -> (path: String, document: SignedDocument) {
        let files = CAFiles(context.invocation.string("ca-dir") ?? CAFiles.defaultDirectory)
        var (before, list) = try OperatorFiles.read(files.operators)
        try StaleOperators.refuse(before, of: files, context)
        let passphrase =
            if let file = context.invocation.string("passphrase-file") {
                try PassphraseSource.file(file)
            } else { Passphrase?.none }
        var used = passphrase
        let root = try PassphraseSource.open(
            "the root's key \(files.root.key)", file: context.invocation.string("passphrase-file"),
            flag: "--passphrase-file"
        ) { (passphrase) throws(CertificateError) in
            used = passphrase
            return try CertificateAuthority.load(
                certificateFile: files.root.certificate, keyFile: files.root.key, passphrase: passphrase)
        }
        try change(&list, files, used)
        do throws(CertificateError) {
            let document = try OperatorFiles.sign(list, version: before.version + 1, by: root)
            try SafeFile.write(document.envelope, to: files.operators, mode: 0o644)
            before = document
        } catch {
            throw CommandFailure(error)
        }
        return (files.operators, before)
    }

    static func report(_ context: CommandContext, _ what: String, _ result: (path: String, document: SignedDocument)) {
        context.print(["file": .string(result.path), "version": JSONValue(result.document.version)]) {
            Output.line("\(what) (\(result.path), version \(result.document.version))")
            Output.line("Next: mesh operator apply \(ShellWord.quoted(result.path))")
        }
    }
}

/// `mesh operator add NAME`
enum OperatorAddCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "add", "Make another operator: a key, and a list that names it, signed by the root.",
            discussion: """
                Writes NAME.key beside the CA's files, encrypted with the same passphrase as the root's key. The mesh learns \
                of it with mesh operator apply.
                """,
            flags: OperatorChange.flags, positionals: [PositionalSpec("NAME", "The operator.")])
    ) { (context) throws(CommandFailure) in
        let name = context.argument("NAME")
        guard OperatorList.isName(name), !name.contains("/"),
            !CAFiles.reservedNames.subtracting(["operator"]).contains(name)
        else {
            throw .usage("\"\(name)\" cannot be an operator's name", hint: "use letters, digits and hyphens")
        }
        let result = try OperatorChange.make(context) { (list, files, passphrase) throws(CommandFailure) in
            guard !list.members.contains(where: { $0.name == name }) else {
                throw CommandFailure(
                    .failure, "operator_exists", "there is an operator \(name) already",
                    hint: "choose another name, or remove it first: mesh operator remove \(name)")
            }
            do throws(CertificateError) {
                let key = try PrivateKey.generate(.ed25519)
                try key.write(to: files.operatorKey(name), encryptedWith: passphrase, replace: false)
                list.members.append(OperatorList.Member(name: name, key: key.publicKey))
            } catch {
                throw CommandFailure(error)
            }
        }
        OperatorChange.report(context, "Made the operator \(name)", result)
        return .ok
    }
}

/// `mesh operator remove NAME`
enum OperatorRemoveCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "remove", "Take an operator off the list.",
            discussion: """
                Documents that it signed stay in force until somebody replaces them; nodes that come later take them only \
                from another operator: apply the policy again with another operator's key.
                """,
            flags: OperatorChange.flags, positionals: [PositionalSpec("NAME", "The operator.")])
    ) { (context) throws(CommandFailure) in
        let name = context.argument("NAME")
        let result = try OperatorChange.make(context) { (list, _, _) throws(CommandFailure) in
            guard list.members.contains(where: { $0.name == name }) else {
                throw CommandFailure(
                    .notFound, "no_such_operator", "there is no operator \(name)", hint: "mesh operator list shows them"
                )
            }
            guard list.members.count > 1 else {
                throw CommandFailure(
                    .failure, "last_operator", "\(name) is the last operator, and without one nothing can be signed",
                    hint: "make another one first: mesh operator add NAME")
            }
            list.members.removeAll { $0.name == name }
        }
        OperatorChange.report(context, "Removed the operator \(name)", result)
        return .ok
    }
}

/// `mesh operator apply FILE`
enum OperatorApplyCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "apply", "Tell the whole mesh who the operators are.",
            discussion: "The list is signed by the root already; no key is needed.", flags: [.json],
            positionals: [PositionalSpec("FILE", "The list: operators.json.", .path)])
    ) { (context) throws(CommandFailure) in
        let (document, _) = try OperatorFiles.read(context.argument("FILE"))
        let client = try ControlClient(context)
        let answer = try client.call(.put, "/v1/documents/operators", body: document.json)
        if !context.json {
            Output.line(
                answer["outcome"]?.string == "known"
                    ? "version \(document.version) was in force already"
                    : "version \(document.version) of the list of operators is in force here")
        }
        let report = try OperatorFiles.reportNodes(context, client)
        context.print(["version": JSONValue(document.version), "nodes": report.nodes]) {}
        return report.exit
    }
}
