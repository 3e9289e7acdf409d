/**
 * Places for whole objects outside of the cluster: the seam, a folder, a bucket of S3, memory that fails on request, and places as text.
 */

export { FolderObjects } from './folder-objects.ts';
export { type ObjectPlace, ObjectPlaceError, type ObjectStoreParts, openObjects, parsePlace } from './location.ts';
export {
  getObject,
  isObjectName,
  type ObjectEntry,
  ObjectMissingError,
  type ObjectStore,
  ObjectStoreFullError,
  ObjectStoreRefusedError,
  ObjectStoreUnavailableError,
  readObject,
} from './object-store.ts';
export { S3Objects } from './s3-objects.ts';
export { type ObjectFault, SimulatedObjects } from './simulated-objects.ts';
