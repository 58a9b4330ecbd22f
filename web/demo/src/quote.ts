/** The number of changes of each price per second. */
export const CHANGES_PER_SECOND = 2_500;

/** A price, as the server sends it. */
export interface Quote {
  price: number;
  /** The number of this change of the price. */
  number: number;
  /** Time by the server's clock, in seconds since 1970. */
  at: number;
}
