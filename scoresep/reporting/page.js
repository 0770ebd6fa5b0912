// A line over the pictures of a track follows its players; one player at a time. The page works without it.
for (const track of document.querySelectorAll(".track")) {
  for (const player of track.querySelectorAll("audio")) {
    const follow = () => {
      track.style.setProperty("--at", player.currentTime / player.duration || 0);
      if (!player.paused) requestAnimationFrame(follow);
    };
    player.addEventListener("play", () => {
      for (const other of document.querySelectorAll("audio")) if (other !== player) other.pause();
      for (const former of document.querySelectorAll(".heard")) former.classList.remove("heard");
      track.classList.add("heard");
      follow();
    });
    player.addEventListener("seeked", follow);
  }
}
