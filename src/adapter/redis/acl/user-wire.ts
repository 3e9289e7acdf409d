/**
 * What nodes ask the leader of the row with the users, and its answers. Layout: u8 format, u8 kind, u32 group, u32 node that asks, u64 revision of
 * the users that it has; behind that what the kind has. Part of the feature `redis.acl`.
 */
import { NotOwnerError, RangeBusyError } from '../../../kv/index.ts';
import {
  ByteReader,
  ByteWriter,
  type GroupId,
  groupId,
  type Millis,
  type NodeId,
  nodeId,
} from '../../../platform/index.ts';

/** The service name under which users are asked for. */
export const USER_SERVICE = 'redis.users';

const FORMAT = 1;
/** Wire values: never renumber. */
const Kind = { Watch: 1, Change: 2 } as const;
const Answer = { Refused: 0, Same: 1, Users: 2, Stored: 3, Overtaken: 4 } as const;

/** @param revision that the node has; a change is made on condition that it is the stored one */
export type UserQuestion = { readonly revision: number } & (
  | {
      /** Asks for users of another revision, and waits a little for one to come. */
      readonly kind: 'watch';
      readonly holdMs: Millis;
    }
  | { readonly kind: 'change'; readonly users: Buffer }
);

/** A question with the group that it goes to, and the node that asks. */
export type UserRequest = UserQuestion & { readonly group: GroupId; readonly node: NodeId };

export type UserAnswer =
  /** The group does not own the row now: nothing happened. */
  | { readonly kind: 'refused' }
  /** The revision is still the stored one. */
  | { readonly kind: 'same' }
  /** All users; undefined when none were ever stored. */
  | { readonly kind: 'users'; readonly users: Buffer | undefined }
  /** The change is stored. @param unheard nodes that did not say that they go by it */
  | { readonly kind: 'stored'; readonly unheard: readonly NodeId[] }
  /** Somebody else has changed the users since that revision. */
  | { readonly kind: 'overtaken' };

/** See the layout at the top of the file. */
export function encodeUserRequest(request: UserRequest): Buffer {
  const writer = new ByteWriter();
  writer.u8(FORMAT).u8(request.kind === 'watch' ? Kind.Watch : Kind.Change);
  writer.u32(request.group).u32(request.node).u53(request.revision);
  if (request.kind === 'watch') writer.u32(request.holdMs);
  else writer.bytes(request.users);
  return writer.finish();
}

/** @throws RangeError for bytes that `encodeUserRequest` has not written */
export function decodeUserRequest(payload: Buffer): UserRequest {
  const reader = new ByteReader(payload, 'a request about users', RangeError);
  const format = reader.u8();
  if (format !== FORMAT) throw new RangeError(`format ${format} of requests about users is unknown`);
  const kind = reader.u8();
  const asking = {
    group: groupId(reader.u32()),
    node: nodeId(reader.u32()),
    revision: reader.u53(),
  };
  if (kind === Kind.Watch) return { ...asking, kind: 'watch', holdMs: reader.u32() };
  if (kind === Kind.Change) return { ...asking, kind: 'change', users: Buffer.from(reader.view()) };
  throw new RangeError(`kind ${kind} of requests about users is unknown`);
}

/** A u8 says which answer it is; behind it what the answer has. */
export function encodeUserAnswer(answer: UserAnswer): Buffer {
  const writer = new ByteWriter();
  switch (answer.kind) {
    case 'refused':
      return writer.u8(Answer.Refused).finish();
    case 'same':
      return writer.u8(Answer.Same).finish();
    case 'users':
      return writer.u8(Answer.Users).optional(answer.users).finish();
    case 'stored':
      writer.u8(Answer.Stored).u32(answer.unheard.length);
      for (const node of answer.unheard) writer.u32(node);
      return writer.finish();
    case 'overtaken':
      return writer.u8(Answer.Overtaken).finish();
  }
}

/** @throws RangeError for bytes that `encodeUserAnswer` has not written */
export function decodeUserAnswer(bytes: Buffer): UserAnswer {
  const reader = new ByteReader(bytes, 'an answer about users', RangeError);
  const kind = reader.u8();
  switch (kind) {
    case Answer.Refused:
      return { kind: 'refused' };
    case Answer.Same:
      return { kind: 'same' };
    case Answer.Users:
      return { kind: 'users', users: reader.optional() };
    case Answer.Stored:
      return { kind: 'stored', unheard: Array.from({ length: reader.u32() }, () => nodeId(reader.u32())) };
    case Answer.Overtaken:
      return { kind: 'overtaken' };
    default:
      throw new RangeError(`answer ${kind} about users is unknown`);
  }
}

/** True for errors with which a group says that it does not own the row now. */
export const isRowElsewhere = (error: unknown): boolean =>
  error instanceof NotOwnerError || error instanceof RangeBusyError;
