/** Errors of the served catalog, beside those that the planner refuses with (`CatalogError`). */
import { type ErrorDisposition, type GroupId, KvorumError } from '../../platform/index.ts';
import { OutcomeUnknownError } from '../../raftengine/index.ts';

/** The catalog can no longer tell whether an earlier request took place: what it would have left behind was overwritten. */
export class LostResultError extends OutcomeUnknownError {
  constructor(operation: string) {
    super(`the catalog no longer knows whether the ${operation} took place; look at what there is now`);
  }
}

/** Bytes of a catalog request or answer that this program cannot read; nothing happened. */
export class CatalogMessageError extends KvorumError {
  readonly code = 'CATALOG_MESSAGE';
  readonly disposition: ErrorDisposition = 'final';
}

/** The cluster cannot begin as it is configured; somebody has to look at it. */
export class FoundingError extends KvorumError {
  readonly code = 'FOUNDING_REFUSED';
  readonly disposition: ErrorDisposition = 'final';
  /** The group that refused its range; undefined when the configuration itself is wrong. */
  readonly groupId: GroupId | undefined;

  constructor(message: string, groupId: GroupId | undefined) {
    super(message);
    this.groupId = groupId;
  }
}
