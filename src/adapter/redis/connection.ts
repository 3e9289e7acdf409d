/** One client's connection as commands see it. */
export interface Connection {
  readonly id: number;
}
