/** Lists. */

export { ListBody, newList, openList, type PositionSearch } from './list-body.ts';
