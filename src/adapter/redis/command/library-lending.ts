/**
 * Copies of the libraries of functions that nodes have for a while, so that a call does not have to ask the group that has them. While a node may have one,
 * they cannot be changed: whoever wants to has the copies called back first.
 */
import { type ErrorDisposition, KvorumError } from '../../../platform/index.ts';

/** This node has no copy yet and has just asked for one; nothing happened. */
export class LibrariesUnknownError extends KvorumError {
  readonly code = 'LIBRARIES_UNKNOWN';
  readonly disposition: ErrorDisposition = 'wait';

  constructor() {
    super('the node has asked for the libraries of functions and does not have them yet');
  }
}

/** Nodes may have copies of the libraries, which have to be called back before they are changed; nothing happened. */
export class LibrariesLentError extends KvorumError {
  readonly code = 'LIBRARIES_LENT';
  readonly disposition: ErrorDisposition = 'restart';

  constructor() {
    super('nodes have copies of the libraries of functions');
  }
}

/** True for the error, whichever node it comes from. */
export const isLibrariesLent = (error: unknown): boolean =>
  error instanceof KvorumError && error.code === 'LIBRARIES_LENT';

/** What the row beside the libraries says; it is not there while nobody has a copy. */
export const LendingState = {
  /** Nodes may have copies. */
  Lent: 'lent',
  /** Followed by who calls them back: no more are given, and those that were end soon. */
  Recalling: 'recalling ',
  /** Followed by who has called them back: nobody has one, and none is given. */
  Recalled: 'recalled ',
} as const;

/** A node's copy. */
export interface LibraryLender {
  /** The row that has all libraries, as it certainly is now; undefined: there is no copy, or it is too old. */
  row(): Buffer | undefined;
  /** Asks for a copy. @returns `refused` while none is given */
  ask(): 'coming' | 'refused';
  /** Has all nodes give up their copies, so that the libraries can be changed. */
  recall(): Promise<void>;
}
