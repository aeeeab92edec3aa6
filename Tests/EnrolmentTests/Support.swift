import Enrolment
import PKI

/// The fixed time of these tests: 2027-01-15T08:00:00Z.
let noon: Int64 = 1_800_000_000
let domain = "mesh.test"

/// The reason of the error that the body throws; nil when it throws none.
func reason<Value>(_ body: () throws -> Value) -> EnrolmentError.Reason? {
    do {
        _ = try body()
        return nil
    } catch let error as EnrolmentError {
        return error.message.isEmpty || error.hint.isEmpty ? nil : error.reason
    } catch {
        return nil
    }
}
