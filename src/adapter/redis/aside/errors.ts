/** Why a command is not evaluated where its keys are led. */
import { type ErrorDisposition, KvorumError } from '../../../platform/index.ts';

/** The value that the command writes has so many rows that it is built aside, by the node that the client is connected to; nothing happened. */
export class BuildAsideError extends KvorumError {
  readonly code = 'BUILD_ASIDE';
  readonly disposition: ErrorDisposition = 'restart';

  constructor() {
    super('the value has too many rows to be written at once');
  }
}

/** True for the error, whichever node it comes from. */
export const isBuildAside = (error: unknown): boolean => error instanceof KvorumError && error.code === 'BUILD_ASIDE';
