/**
 * What an operation of the service is and what it sees of its request. Rooms that have operations declare them with these interfaces and know no
 * socket.
 */

export {
  type Access,
  type AnyOperation,
  declareOperation,
  EncodedOutput,
  type Operation,
  type PreparedOperation,
} from './operation.ts';
export type { Invocation, RequestContext } from './request-context.ts';
