/** Errors on their way through the proxy: which status stands for which error, in both directions. */
import { type ErrorDisposition, groupId, KvorumError, type NodeId } from '../../platform/index.ts';
import { BusyError, NotLeaderError, OutcomeUnknownError, TooLargeError } from '../../raftengine/index.ts';
import { isHeldBack, KeyVersionPressureError, WriteBackpressureError } from '../admission/index.ts';
import {
  ConflictError,
  LeaderUnavailableError,
  NotOwnerError,
  RangeBusyError,
  RemoteError,
} from '../contract/index.ts';
import { type ForwardReply, ForwardStatus } from './forward-codec.ts';

const DISPOSITIONS: readonly ErrorDisposition[] = ['redirect', 'wait', 'restart', 'unknown', 'final'];

/** What a leader answers for an error of its handler. An error of no known kind says nothing about what happened. */
export function statusOf(error: Error): { status: ForwardStatus; leaderHint: NodeId | undefined; body: Buffer } {
  const body = Buffer.from(error.message);
  if (error instanceof NotLeaderError) return { status: ForwardStatus.NotLeader, leaderHint: error.leaderHint, body };
  const leaderHint = undefined;
  if (error instanceof NotOwnerError) {
    const group = Buffer.alloc(4);
    group.writeUInt32BE(error.hint ?? 0);
    return { status: ForwardStatus.NotOwner, leaderHint, body: group };
  }
  if (error instanceof RangeBusyError) return { status: ForwardStatus.RangeBusy, leaderHint, body };
  if (error instanceof BusyError) return { status: ForwardStatus.Busy, leaderHint, body };
  if (error instanceof LeaderUnavailableError) return { status: ForwardStatus.Unavailable, leaderHint, body };
  if (error instanceof OutcomeUnknownError) return { status: ForwardStatus.Unknown, leaderHint, body };
  if (error instanceof TooLargeError) return { status: ForwardStatus.TooLarge, leaderHint, body };
  if (error instanceof ConflictError) return { status: ForwardStatus.Conflict, leaderHint, body };
  if (isHeldBack(error)) {
    const text = `${error.code}\0${error.disposition}\0${error.retryAfterMs}\0${error.message}`;
    return { status: ForwardStatus.Other, leaderHint, body: Buffer.from(text) };
  }
  if (error instanceof KvorumError) {
    const text = `${error.code}\0${error.disposition}\0${error.message}`;
    return { status: ForwardStatus.Other, leaderHint, body: Buffer.from(text) };
  }
  return { status: ForwardStatus.Unknown, leaderHint, body };
}

/** The error that a reply stands for; undefined for success. */
export function errorOf(reply: ForwardReply): Error | undefined {
  const message = (): string => reply.body.toString();
  switch (reply.status) {
    case ForwardStatus.Ok:
      return undefined;
    case ForwardStatus.NotLeader:
      return new NotLeaderError(reply.leaderHint);
    case ForwardStatus.Busy:
      return new BusyError(message());
    case ForwardStatus.Unavailable:
      return new LeaderUnavailableError(message());
    case ForwardStatus.Unknown:
      return new OutcomeUnknownError(message());
    case ForwardStatus.TooLarge:
      return new TooLargeError(message());
    case ForwardStatus.Conflict:
      return new ConflictError(message());
    case ForwardStatus.NotOwner: {
      const hint = reply.body.length === 4 ? reply.body.readUInt32BE(0) : 0;
      return new NotOwnerError(hint === 0 ? undefined : groupId(hint));
    }
    case ForwardStatus.RangeBusy:
      return new RangeBusyError(message());
    default: {
      const [code = '', disposition = '', ...rest] = message().split('\0');
      const heldBack = heldBackOf(code, rest);
      if (heldBack !== undefined) return heldBack;
      const known = DISPOSITIONS.find((name) => name === disposition);
      return new RemoteError(code || 'REMOTE', known ?? 'unknown', rest.join('\0'));
    }
  }
}

/** An error as bytes, for those who answer many requests with one message. */
export function encodeError(error: Error): Buffer {
  const { status, body } = statusOf(error);
  return Buffer.concat([Buffer.from([status]), body]);
}

/** The error that `encodeError` made bytes of; a leader's hint is not among them. @throws RangeError when there are none */
export function decodeError(bytes: Buffer): Error {
  const error = errorOf({
    kind: 'reply',
    epoch: 0,
    id: 0,
    status: bytes.readUInt8(0) as ForwardStatus,
    leaderHint: undefined,
    body: bytes.subarray(1),
  });
  return error ?? new RemoteError('REMOTE', 'unknown', 'an error without a kind');
}

/** The error of a leader that holds writes back; its message says when to come again, and so does a field. */
function heldBackOf(code: string, [retry = '', ...text]: readonly string[]): Error | undefined {
  const isKnown = code === 'WRITE_BACKPRESSURE' || code === 'KEY_VERSION_PRESSURE';
  const retryAfterMs = Number(retry);
  if (!isKnown || !Number.isFinite(retryAfterMs)) return undefined;
  if (code === 'KEY_VERSION_PRESSURE') return new KeyVersionPressureError(retryAfterMs);
  return new WriteBackpressureError(text.join('\0'), retryAfterMs, true);
}
