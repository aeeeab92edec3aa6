import Documents
import EventLoop
import PKI

extension DocumentHost {
    /// What would keep an agent with this configuration from starting with the documents that it has, beside missing files, a
    /// line each; nothing is changed.
    nonisolated static func problems(
        _ identity: NodeIdentity, _ configuration: Configuration, beside missing: MissingFiles
    ) -> [String] {
        let store = DocumentStore(stateDirectory: configuration.node.stateDirectory)
        var ledger = DocumentLedger(trustDomain: identity.trustDomain, roots: identity.fileRoots)
        do throws(StartFailure) {
            for item in try store.load() { _ = try restore(item, to: &ledger, of: store, configuration) }
            try takeConfigured(configuration, by: &ledger)
            return []
        } catch {
            return missing.lines(of: error)
        }
    }

    private nonisolated static func takeConfigured(
        _ configuration: Configuration, by ledger: inout DocumentLedger
    ) throws(StartFailure) {
        guard let file = configuration.trust.operators else { return }
        do {
            let document = try SignedDocument(
                envelope: SafeFile.read(file, limit: SignedDocument.largestEnvelope))
            guard document.kind == .operators else {
                throw DocumentError(
                    .wrongKind, "it is of the kind \(document.kind.rawValue)", hint: "give operators.json")
            }
            _ = try ledger.take(document, now: Clock.unixSeconds())
        } catch let error as DocumentError where error.code == .older {
            // The mesh has a newer list by now, and this node knows it.
        } catch {
            throw failure(ofConfigured: file, error)
        }
    }
}
