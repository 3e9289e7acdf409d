/** What nodes tell each other about items, in parts: conditions, updates and projections, refusals. The messages are made of these in `items`. */

export { readOptional, writeOptional } from './parts.ts';
export { readRefusal, writeRefusal } from './refusal-codec.ts';
export {
  readCondition,
  readProjection,
  readUpdate,
  writeCondition,
  writeProjection,
  writeUpdate,
} from './tree-codec.ts';
