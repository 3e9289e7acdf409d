/**
 * What a request takes along that is not answered where it was asked first: until when it is asked again, what it was told, and what it has turned out
 * to be. Most requests are answered at once and have none: thousands are under way on a busy node, and each is as small as it can be.
 */
import type { GroupId, Millis } from '../../../platform/index.ts';
import type { OutsideCalls } from './outside-calls.ts';
import type { RepeatedDraws } from './repeated-draws.ts';
import type { RequestWeight } from './request-weight.ts';

/** See the top of the file. */
export class Journey {
  /** When the owner gives up on finding a leader or an owner of the keys, monotonic; 0 until it had to look for one. */
  deadlineMs: Millis = 0;
  weight: RequestWeight | undefined;
  /** Why it was given back the last time, and by which group. */
  refusal: Error | undefined;
  refusedBy: GroupId | undefined;
  /** The group that the last refusal named. */
  hint: GroupId | undefined;
  /** How often it followed a hint. */
  redirects = 0;
  /** This node has just said that it does not lead: the next attempt goes over the wire, which waits for a leader. */
  mustForward = false;
  /** What its evaluations draw, when each is to draw the same. */
  draws: RepeatedDraws | undefined;
  /** What it asks for that no group has. */
  outside: OutsideCalls | undefined;
  /** What it writes has too many rows for one entry: it runs alone, see the room `aside`. */
  isAside = false;
  /** It needs what no group has: it runs alone, see `RunAloneError`. */
  needsOutside = false;
}
