// Runs before the first paint, so that the page never flashes in another theme.
{
  const theme = localStorage.getItem("stock_volume.theme");
  if (theme) document.documentElement.dataset.theme = theme;
}
