/**
 * The folders of a store and how one takes the place of another, so that a crash at any step leaves the old or the new.
 */

export {
  cutsOf,
  forgetPredecessor,
  incomingOf,
  prepareSwap,
  putBack,
  receivedOf,
  recoverFolders,
  removeGroupStore,
  swapIn,
} from './folders.ts';
