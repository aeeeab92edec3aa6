import Arguments
import Documents
import HTTP
import JSON

/// A mesh document that a command reads from the agent: verified where a root's certificate is at hand, which it has to be for whatever
/// is signed; else as the agent says, and the user is told.
struct ShownDocument {
    /// The document in force; nil where there is none.
    let document: SignedDocument?
    /// Whether it was verified.
    let isVerified: Bool

    /// Asks the agent.
    ///
    /// - Parameters:
    ///   - key: the operator's key of the command line, for a command that has one.
    ///   - former: the older list of operators of the command line, for the same commands.
    ///   - onlyShows: nothing is signed that comes from it.
    init(
        _ kind: DocumentKind, _ context: CommandContext, _ client: ControlClient, key: String? = nil,
        former: String? = nil, onlyShows: Bool
    ) throws(CommandFailure) {
        let anchor: TrustAnchor?
        let state = onlyShows ? try client.call(.get, "/v1/documents") : .null
        if onlyShows {
            anchor = try TrustAnchor.forShowing(context, key: key, state.text(of: "trustDomain"))
        } else {
            anchor = try TrustAnchor(operator: context)
        }
        if let anchor {
            let verified = try VerifiedDocuments(anchor, client, former: former, signs: !onlyShows)
            document = try verified.current(kind)
            isVerified = true
            if onlyShows { verified.recordShown() }
            return
        }
        isVerified = false
        if !context.json {
            Output.note(
                "note: this is what the agent says, not verified: no root's certificate of this mesh is at hand "
                    + "(\(CAFiles(CAFiles.defaultDirectory).root.certificate); or --ca FILE)")
        }
        guard state["versions"]?[kind.rawValue] != nil else {
            document = nil
            return
        }
        let envelope = try client.call(.get, "/v1/documents/\(kind.rawValue)")
        do throws(DocumentError) {
            document = try SignedDocument(envelope: envelope.serialized())
        } catch {
            throw CommandFailure(.failure, error.code.rawValue, error.message, hint: error.hint)
        }
    }
}
