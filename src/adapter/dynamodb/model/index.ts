/**
 * The API's model as data: operations, the members of their requests, types and constraints. The codec, the checks and the documentation read it.
 */

export { ITEM_API, REQUESTS, type RequestModel, STREAM_API } from './requests.ts';
export type {
  ListShape,
  MapShape,
  Member,
  NumberShape,
  Shape,
  StringShape,
  StructureShape,
} from './shapes.ts';
