import Documents
import FuzzSupport
import PKI

/// Any bytes as an envelope, as a list of operators, as a list of revocations and as HELLO's extension: an error with a
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
            require([.noOperators, .unknownOperator].contains(error.code), "refused for another reason")
        }
        require(ledger.versions == DocumentVersions() && ledger.operators == nil, "a refused document left something")
        _ = try? OperatorList(payload: document.payload)
        _ = try? RevocationSet(payload: document.payload)
    }
    if let list = try? OperatorList(payload: bytes) {
        require((try? OperatorList(payload: list.payload)) == list, "a list of operators is not read back")
        for member in list.members {
            require(list.member(signer: member.key.spkiSHA256) == member, "an operator is not found")
        }
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
