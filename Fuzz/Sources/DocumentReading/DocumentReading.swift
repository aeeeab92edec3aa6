import Documents
import FuzzSupport
import PKI

/// Any bytes as an envelope, as a list of roots, of operators, of revocations and as HELLO's extension: an error with a
/// code, or a value that comes back the same. Nothing unsigned gets into a ledger.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: size))
    if let document = try? SignedDocument(envelope: bytes) {
        let again = try? SignedDocument(envelope: document.envelope)
        require(again == document, "an envelope is not read back")
        require(again?.stamp == document.stamp, "two stamps")
        var ledger = DocumentLedger(trustDomain: document.trustDomain, roots: [])
        do {
            _ = try ledger.take(document, now: 1_800_000_000)
            require(false, "a document without an operator was taken")
        } catch {
            require(
                [.noOperators, .unknownOperator, .unvouchedRoot, .badSignature].contains(error.code)
                    || error.code == .badContent && document.kind == .trust, "refused for another reason")
        }
        require(ledger.versions == DocumentVersions() && ledger.operators == nil, "a refused document left something")
        _ = try? RootList(payload: document.payload, trustDomain: document.trustDomain)
        _ = try? OperatorList(payload: document.payload)
        _ = try? RevocationSet(payload: document.payload)
    }
    if let list = try? OperatorList(payload: bytes) {
        require((try? OperatorList(payload: list.payload)) == list, "a list of operators is not read back")
        for member in list.members {
            require(list.member(signer: member.key.spkiSHA256) == member, "an operator is not found")
        }
    }
    if let list = try? RootList(payload: bytes, trustDomain: "mesh.test") {
        require(
            (try? RootList(payload: list.payload, trustDomain: "mesh.test")) == list, "a list of roots is not read back"
        )
        require(list.trusted.contains(list.active), "the active root is not trusted")
    }
    if let set = try? RevocationSet(payload: bytes) {
        require((try? RevocationSet(payload: set.payload))?.entries == set.entries, "revocations are not read back")
        require(set.entry(for: []) == nil, "nobody is revoked")
    }
    if let versions = DocumentVersions(encoded: bytes) {
        require(DocumentVersions(encoded: versions.encoded) == versions, "versions are not read back")
        require(versions.covers(versions) && versions.newer(than: versions).isEmpty, "newer than itself")
    }
    return 0
}
