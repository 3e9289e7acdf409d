/**
 * What a search looks for, and where: the cell of its middle and those around it, of a size at which nine of them are sure to cover the area. Each cell is
 * a range of scores.
 */
import { type Area, areaOf, type Cell, cellAt, cellBeside, MAX_STEPS, type Position } from './cells.ts';
import { degreesOver, latitudeMeters, meters, metersUpTo, radians } from './distance.ts';

/** A circle, or a rectangle along meridian and parallel, around a position. Lengths are in meters. */
export type SearchArea = { readonly middle: Position } & (
  | { readonly shape: 'circle'; readonly radius: number }
  | { readonly shape: 'box'; readonly width: number; readonly height: number }
);

/** Half of the earth's circumference on a Mercator map, meters. */
const LONGEST_METERS = 20037726.37;
/** Cells are narrower towards the poles, degrees of latitude. */
const NARROW_LATITUDE = 66;
const NARROWEST_LATITUDE = 80;

/** How often the map may be halved so that the cells are about as large as a radius. */
function stepsFor(radius: number, latitude: number): number {
  if (radius === 0) return MAX_STEPS;
  let steps = -1;
  for (let reach = radius; reach < LONGEST_METERS; reach *= 2) steps++;
  const fromEquator = Math.abs(latitude);
  if (fromEquator > NARROW_LATITUDE) steps--;
  if (fromEquator > NARROWEST_LATITUDE) steps--;
  return Math.min(MAX_STEPS, Math.max(1, steps));
}

/** The degrees that an area covers, seen from its middle; at its end towards the equator it is less wide. */
function boundsOf(area: SearchArea): Area {
  const { longitude, latitude } = area.middle;
  const [halfWidth, halfHeight] =
    area.shape === 'circle' ? [area.radius, area.radius] : [area.width / 2, area.height / 2];
  const up = degreesOver(halfHeight);
  const outermost = latitude < 0 ? latitude - up : latitude + up;
  const aside = degreesOver(halfWidth / Math.cos(radians(outermost)));
  return { west: longitude - aside, east: longitude + aside, south: latitude - up, north: latitude + up };
}

/** Meters from the middle to the farthest point. */
const reachOf = (area: SearchArea): number =>
  area.shape === 'circle' ? area.radius : Math.sqrt((area.width / 2) ** 2 + (area.height / 2) ** 2);

/** Whether the cells around one do not reach as far as the area. */
function isTooSmall(cell: Cell, bounds: Area): boolean {
  return (
    areaOf(cellBeside(cell, 0, 1)).north < bounds.north ||
    areaOf(cellBeside(cell, 0, -1)).south > bounds.south ||
    areaOf(cellBeside(cell, 1, 0)).east < bounds.east ||
    areaOf(cellBeside(cell, -1, 0)).west > bounds.west
  );
}

/** Steps to the east and to the north, in the order in which cells are searched. */
const AROUND: readonly (readonly [number, number])[] = [
  [0, 0],
  [0, 1],
  [0, -1],
  [1, 0],
  [-1, 0],
  [1, 1],
  [-1, 1],
  [1, -1],
  [-1, -1],
];

/** Cells this large cannot be told to be of no use. */
const FEWEST_STEPS_TO_LEAVE_OUT = 2;

/** The cells that together have everything in an area, in the order in which they are searched. */
export function cellsOf(area: SearchArea): Cell[] {
  const { middle } = area;
  const bounds = boundsOf(area);
  let cell = cellAt(middle, stepsFor(reachOf(area), middle.latitude));
  if (cell.steps > 1 && isTooSmall(cell, bounds)) cell = cellAt(middle, cell.steps - 1);
  const own = areaOf(cell);
  const mayLeaveOut = cell.steps >= FEWEST_STEPS_TO_LEAVE_OUT;
  const isOfNoUse = ([east, north]: readonly [number, number]): boolean =>
    mayLeaveOut &&
    ((north < 0 && own.south < bounds.south) ||
      (north > 0 && own.north > bounds.north) ||
      (east < 0 && own.west < bounds.west) ||
      (east > 0 && own.east > bounds.east));
  const cells: Cell[] = [];
  for (const step of AROUND) {
    if (isOfNoUse(step)) continue;
    const next = cellBeside(cell, ...step);
    const previous = cells.at(-1);
    // Around a small world two neighbours are the same.
    const isSame = cells.length > 1 && previous!.column === next.column && previous!.row === next.row;
    if (!isSame) cells.push(next);
  }
  return cells;
}

/** Meters from the middle of an area to a position; undefined when it is not inside. */
export function metersWithin(area: SearchArea, position: Position): number | undefined {
  const { middle } = area;
  if (area.shape === 'circle') return metersUpTo(area.radius, middle, position);
  if (latitudeMeters(position.latitude, middle.latitude) > area.height / 2) return undefined;
  const beside = { longitude: middle.longitude, latitude: position.latitude };
  return metersUpTo(area.width / 2, position, beside) === undefined ? undefined : meters(middle, position);
}
