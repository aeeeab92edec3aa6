import Arguments
import Documents
import EventLoop
import HTTP
import JSON
import PKI

/// Whether the list of operators that a command is about to change is the newest that is known here.
///
/// A rotation of roots writes the next version beside the next root only. Whoever went on with the one of before would sign a version
/// that is there already with another content, and no agent takes that.
enum StaleOperators {
    /// A list that is known here.
    private struct Known {
        let document: SignedDocument
        /// Who knows it.
        let place: String
    }

    /// Refuses a list where another one of its version, or of a later one, was seen by the key beside it or by that of the next root,
    /// or is in force at the agent, where one can be asked. Nothing that comes from these is signed.
    static func refuse(
        _ own: SignedDocument, of files: CAFiles, _ context: CommandContext
    ) throws(CommandFailure) {
        let neighbours = neighbours(of: files).filter { isOfTheSameMesh($0, files, own.trustDomain) }
        var known = ([files] + neighbours).compactMap { place in
            seen(.operators, own.trustDomain, beside: place).map {
                Known(document: $0, place: "was seen by the key in \(place.directory)")
            }
        }
        if let document = inForce(own.trustDomain, files, context) {
            known.append(Known(document: document, place: "is in force at the agent"))
        }
        let others = known.filter { $0.document.stamp != own.stamp && $0.document.version >= own.version }
        guard let newest = others.max(by: { $0.document.stamp < $1.document.stamp }) else { return }
        let (version, stamp) = (newest.document.version, newest.document.stamp)
        let holder = neighbours.first { (try? OperatorFiles.read($0.operators))?.document.stamp == stamp }
        let which = version == own.version ? "another version \(version)" : "version \(version)"
        throw CommandFailure(
            .failure, "stale_list",
            "\(files.operators) has version \(own.version) (\(own.stamp.digestText)) of the list of operators, and \(which) "
                + "(\(stamp.digestText)) \(newest.place); nothing was made or signed",
            hint: holder.map { "that list is in \($0.directory): --ca-dir \(ShellWord.quoted($0.directory))" }
                ?? "say where that list is: --ca-dir DIR (after mesh ca rotate activate the next root's directory); where it is lost, "
                + "mesh operator list --ca \(files.root.certificate) keeps a verified copy in "
                + "\(SeenDocuments(own.trustDomain, beside: files).file(.operators)), to be put in place of \(files.operators)",
            showsReason: true)
    }

    /// Where the next root's files may be.
    private static func neighbours(of files: CAFiles) -> [CAFiles] {
        var directories: [String] = []
        for directory in [files.directory + "-next", RootFiles.defaultNext]
        where directory != files.directory && !directories.contains(directory) {
            directories.append(directory)
        }
        return directories.map { CAFiles($0) }
    }

    /// Another mesh of that name, or one of before, has other roots.
    private static func isOfTheSameMesh(_ neighbour: CAFiles, _ files: CAFiles, _ trustDomain: String) -> Bool {
        guard let roots = try? TrustBundle.load(file: files.root.certificate).roots,
            let document = seen(.trust, trustDomain, beside: neighbour),
            let list = try? RootList(payload: document.payload, trustDomain: trustDomain)
        else { return false }
        return list.entries.contains { entry in roots.contains(entry.certificate) }
    }

    private static func seen(_ kind: DocumentKind, _ trustDomain: String, beside files: CAFiles) -> SignedDocument? {
        SeenDocuments(trustDomain, beside: files).document(kind)
    }

    /// The list that the agent of this host shows, as far as the root's certificate vouches for it; nil also where there is no agent, or
    /// none that can be asked: a CA's directory may be where no agent is.
    private static func inForce(
        _ trustDomain: String, _ files: CAFiles, _ context: CommandContext
    ) -> SignedDocument? {
        guard let client = try? ControlClient(context),
            var ledger = try? TrustAnchor(of: files).ledger(trustDomain)
        else { return nil }
        for kind in [DocumentKind.trust, .operators] {
            guard let answer = try? client.call(.get, "/v1/documents/\(kind.rawValue)"),
                let document = try? SignedDocument(envelope: answer.serialized())
            else { continue }
            _ = try? ledger.take(document, now: Clock.unixSeconds())
        }
        return ledger.documents[.operators]
    }
}
