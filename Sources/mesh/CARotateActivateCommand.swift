import Arguments
import Documents
import Glibc
import HTTP
import JSON
import PKI

/// `mesh ca rotate activate`
enum CARotateActivateCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "activate", "Issue below the next root; nodes renew their certificates early.",
            discussion: """
                Refuses while a node does not have the list with the prepared root, unless --force. The CA that runs \
                gets the next issuing key in place of the present one: where the agent of this host serves it, its \
                files are replaced (FILE.previous keeps them); of another node (--at) they have to be copied before. \
                Then the list that makes the root active travels, and that of the operators, signed by it. Every node \
                renews within a twentieth of its certificate's validity, ten minutes at most.
                """, flags: [.atCA] + RootFiles.flags)
    ) { (context) throws(CommandFailure) in
        let files = RootFiles.next(context)
        let documents = try RootDocuments(context, files)
        let list = try documents.begun()
        let (root, _) = try RootFiles.load(files, context)
        guard let state = list.state(of: root.root), state == .prepared || state == .active else {
            throw CommandFailure(
                .failure, "root_not_prepared", "the root in \(files.directory), \(root.root.subject), was not prepared",
                hint: "say where the prepared root's files are: --next DIR; mesh ca rotate status shows the roots")
        }
        if state == .prepared {
            try documents.demand(
                try documents.withoutList(), "not every node has the list with the root \(root.root.subject)",
                hint: "wait for them (mesh ca rotate status), or go on with --force: they come back as late ones")
        }
        let issuer = try changeCA(context, documents, files, root.root)
        var version = documents.version
        if state == .prepared {
            version = try documents.publish(
                try documents.changed(
                    list.entries.map { entry in
                        switch entry.state {
                        case .prepared: RootList.Entry(entry.certificate, .active)
                        case .active: RootList.Entry(entry.certificate, .retiring)
                        case .retiring, .retired: entry
                        }
                    }), signedBy: root)
        }
        let operators = try documents.signOperators(by: root, file: files.operators)
        return try CARotateReport.say(
            context, documents, version, "the root \(root.root.subject) is active",
            next:
                "mesh ca rotate retire\(CARotateReport.place(files)), "
                + CARotateWait.afterActivation(documents.client),
            more: [
                "issuer": issuer.map { .string($0) } ?? .null, "operators": operators.map { JSONValue($0) } ?? .null,
            ])
    }

    /// Gives the running CA the next issuing key.
    ///
    /// - Returns: the name of the CA that issues now; nil where none runs here.
    private static func changeCA(
        _ context: CommandContext, _ documents: RootDocuments, _ files: CAFiles, _ root: Certificate
    ) throws(CommandFailure) -> String? {
        let state: JSONValue
        do throws(CommandFailure) {
            state = try documents.client.call(.get, "/v1/ca" + context.caNode)
        } catch {
            guard error.reason == "no_ca" else { throw error }
            Output.note(
                "note: the agent of this host serves no CA, so that none was changed: where another node does, run this again "
                    + "with --at NODE; without any, issue certificates anew: mesh ca issue NODE --out \(files.directory)"
            )
            return nil
        }
        if state["rootKey"]?.string == root.spkiSHA256 { return state.text(of: "issuer") }
        let isHere = state.text(of: "node") == documents.node
        let answer =
            isHere
            ? try CAReplacement(documents.client, issuing(files), of: state).run()
            : try documents.client.call(.post, "/v1/ca/reload" + context.caNode)
        guard answer["rootKey"]?.string == root.spkiSHA256 else {
            let pair = issuing(files)
            throw CommandFailure(
                .failure, "ca_not_changed",
                "the CA of node \(state.text(of: "node")) still issues below "
                    + answer.text(of: "root"),
                hint:
                    "copy \(pair.certificate) and \(pair.key) to its host, as \(state.text(of: "certificateFile")) and "
                    + "\(state.text(of: "keyFile")), then run this again")
        }
        return answer.text(of: "issuer")
    }

    /// The pair that issues: the intermediate's, where there is one.
    private static func issuing(_ files: CAFiles) -> CAFiles.Pair {
        access(files.intermediate.certificate, F_OK) == 0 ? files.intermediate : files.root
    }
}

/// `mesh ca reload`
enum CAReloadCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "reload", "Let the running CA read its certificate and key again.",
            discussion: """
                For a new intermediate, or the one of the next root that was copied to the CA's host. The CA refuses \
                one whose root the mesh does not trust.
                """, flags: [.atCA, .json])
    ) { (context) throws(CommandFailure) in
        let answer = try ControlClient(context).call(.post, "/v1/ca/reload" + context.caNode)
        context.print(answer) {
            Output.line(
                DisplayWidth.sanitized(
                    "the CA of node \(answer.text(of: "node")) issues as \(answer.text(of: "issuer")), below "
                        + answer.text(of: "root")))
        }
        return .ok
    }
}
